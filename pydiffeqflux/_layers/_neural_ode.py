"""Neural ODEs."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._errors import InvalidProblemError
from .._problems import ODEProblem
from .._solution import Solution
from .._solve import solve


class NeuralODE(nn.Module):
    """A layer whose output is the solution of u' = model(u), or u' = model(u, t).

    Arguments:
        model: the network of the derivative, from a tensor of the shape of `u` to one of the same shape. It may take
            the time, a 0-d tensor, as its second argument.
        tspan: `(t0, t1)`.
        alg: the algorithm; `None` as in [`solve`][].
        time_dependent: whether `model` is called with `(u, t)`. `None` looks at its signature: it is if `forward`
            has a second positional argument without a default.
        **kwargs: options of [`solve`][].

    Shapes:
        `forward(u0)`: `u0` of shape `(*batch, d)`; the result is a [`Solution`][] whose `u` has shape
        `(T, *batch, d)`. The whole batch is one problem with one step size.

    Raises:
        InvalidProblemError: `model` is not a module, or cannot be called in this way.

    Engines: embedded. Source: DiffEqFlux.jl's `NeuralODE`, which leaves out the time.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    >>> node = NeuralODE(net, (0.0, 1.0), saveat=[0.5, 1.0])
    >>> node(torch.zeros(5, 2)).u.shape
    torch.Size([2, 5, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        tspan: Sequence[float],
        alg: AbstractAlgorithm | None = None,
        *,
        time_dependent: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InvalidProblemError(f"model must be an nn.Module, not {type(model).__name__}.")
        self.model = model
        self.tspan = tuple(t if isinstance(t, Tensor) else float(t) for t in tspan)
        self.alg = alg
        self.time_dependent = _takes_time(model) if time_dependent is None else time_dependent
        self.kwargs = kwargs
        # In a tuple it is not registered as a submodule: the parameters belong to `model` alone.
        self._dynamics = (_Dynamics(model, time_dependent=self.time_dependent),)

    def forward(self, u0: Tensor, **kwargs: Any) -> Solution:
        """Solve from `u0`; `kwargs` override the options given at construction."""
        return solve(ODEProblem(self._dynamics[0], u0, self.tspan), self.alg, **(self.kwargs | kwargs))

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, alg={self.alg}, time_dependent={self.time_dependent}"


class _Dynamics(nn.Module):
    """A network as a right-hand side f(u, p, t)."""

    def __init__(self, model: nn.Module, *, time_dependent: bool) -> None:
        super().__init__()
        self.model = model
        self.time_dependent = time_dependent

    def forward(self, u: Tensor, p: Any, t: Tensor) -> Tensor:
        return self.model(u, t) if self.time_dependent else self.model(u)


def _takes_time(model: nn.Module) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [a for a in inspect.signature(model.forward).parameters.values() if a.kind in positional]
    required = [a for a in arguments if a.default is inspect.Parameter.empty]
    if len(required) > 2 or not arguments:
        raise InvalidProblemError(
            f"model.forward{inspect.signature(model.forward)} must take u, or u and t; wrap it in a module that does."
        )
    return len(required) == 2
