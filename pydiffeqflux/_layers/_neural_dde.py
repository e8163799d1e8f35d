"""Neural delay equations."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._eager import eager
from .._errors import InvalidProblemError
from .._problems import DDEProblem
from .._solution import Solution
from ._solving_layer import SolvingLayer


class NeuralCDDE(SolvingLayer):
    """A layer whose output is the solution of u' = model([u, u(t - lag 1), u(t - lag 2), ...]), with constant delays.

    Arguments:
        model: the network of the derivative, from `(*batch, d * (1 + number of lags))` to `(*batch, d)`: the state now,
            then the delayed ones, along the last axis.
        tspan: `(t0, t1)`.
        history: the states before t0, as for a [`DDEProblem`][]; `None` for the initial state of each call.
        lags: the delays, positive: numbers, or 0-d tensors and parameters, which then have gradients. Those that are
            `nn.Parameter` belong to the parameters of the layer.
        alg: the algorithm; `None` as in [`solve`][].
        **kwargs: options of [`solve`][].

    Attributes:
        lags: the delays.

    Shapes:
        `forward(u0)`: `u0` of shape `(*batch, d)`; the result is a [`Solution`][] whose `u` has shape
        `(T, *batch, d)`.

    Raises:
        InvalidProblemError: `model` is not a module, or a delay is not positive.

    Engines: embedded. Source: DiffEqFlux.jl's `NeuralCDDE`.

    >>> import torch
    >>> layer = NeuralCDDE(torch.nn.Linear(4, 2), (0.0, 1.0), None, [0.3], saveat=[0.5, 1.0])
    >>> layer(torch.zeros(5, 2)).u.shape
    torch.Size([2, 5, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        tspan: Sequence[float],
        history: Any,
        lags: Sequence[float | Tensor],
        alg: AbstractAlgorithm | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tspan, alg, kwargs)
        if not isinstance(model, nn.Module):
            raise InvalidProblemError(f"model must be an nn.Module, not {type(model).__name__}.")
        if not lags:
            raise InvalidProblemError("a NeuralCDDE needs at least one lag; without delays it is a NeuralODE.")
        self.model = model
        self.history = history
        self.lags = list(lags)
        self._learned = nn.ParameterList(lag for lag in lags if isinstance(lag, nn.Parameter))
        self._sizes()

    def _sizes(self) -> list[float]:
        """The delays as numbers."""
        sizes = [float(lag.detach() if isinstance(lag, Tensor) else lag) for lag in self.lags]
        for size in sizes:
            if not (math.isfinite(size) and size > 0.0):
                raise InvalidProblemError(
                    f"a lag of a NeuralCDDE is {size}; it must be positive. Where it may come close to zero, learn its "
                    "logarithm."
                )
        return sizes

    def _derivative(self, u: Tensor, h: Callable[[Any, Any], Tensor], p: Any, t: Tensor) -> Tensor:
        return self.model(torch.cat([u, *(h(p, t - lag) for lag in self.lags)], dim=-1))

    @eager
    def forward(self, u0: Tensor, *, tspan: Sequence[float] | None = None, **kwargs: Any) -> Solution:
        """Solve from `u0`; `tspan` and `kwargs` override what was given at construction."""
        history = u0 if self.history is None else self.history
        prob = DDEProblem(self._derivative, u0, history, self._span(tspan), constant_lags=self._sizes())
        return self._solve(prob, kwargs)

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, lags={self._sizes()}, alg={self.alg}"
