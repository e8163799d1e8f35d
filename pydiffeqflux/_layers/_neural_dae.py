"""Neural equations with constraints."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._eager import eager
from .._errors import InvalidProblemError
from .._initialization import BrownFullBasicInit
from .._problems import DAEProblem, ODEProblem
from .._solution import Solution
from ._solving_layer import SolvingLayer

Constraints = Callable[[Tensor, Any, Tensor], Tensor]
"""`constraints(u, p, t)`, a tensor of shape `(*batch, number of constraints)` that is zero where they hold."""


class _ConstrainedLayer(SolvingLayer):
    """A network, and constraints on its states."""

    def __init__(
        self,
        model: nn.Module,
        constraints: Constraints,
        tspan: Sequence[float],
        alg: AbstractAlgorithm | None,
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(tspan, alg, kwargs)
        if not isinstance(model, nn.Module):
            raise InvalidProblemError(f"model must be an nn.Module, not {type(model).__name__}.")
        if not callable(constraints):
            raise InvalidProblemError(
                f"the constraints must be a function constraints(u, p, t), not {type(constraints).__name__}."
            )
        self.model = model
        self.constraints = constraints

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, alg={self.alg}"


class NeuralODEMM(_ConstrainedLayer):
    """A layer whose output is the solution of M u' = [model(u), constraints(u, p, t)], with a singular M.

    Arguments:
        model: the network of the derivatives, from `(*batch, d)` to `(*batch, d - number of constraints)`.
        constraints: a function `(u, p, t)` of torch tensors that returns `(*batch, number of constraints)`, zero where
            they hold. It may be a module, whose parameters are then those of the layer, too; p is `None`.
        tspan: `(t0, t1)`.
        mass_matrix: M, of shape `(d, d)`, the same for every row of a batch. The rows of the constraints come last, and
            are zero where these are algebraic.
        alg: the algorithm, one that takes mass matrices; `None` as in [`solve`][].
        **kwargs: options of [`solve`][].

    Shapes:
        `forward(u0)`: `u0` of shape `(*batch, d)`; the result is a [`Solution`][] whose `u` has shape
        `(T, *batch, d)`.

    Raises:
        InvalidProblemError: `model` is not a module, or the constraints are not a function.

    Engines: both. Source: DiffEqFlux.jl's `NeuralODEMM`.

    >>> import torch
    >>> layer = NeuralODEMM(
    ...     torch.nn.Linear(3, 2), lambda u, p, t: u.sum(-1, keepdim=True) - 1.0, (0.0, 1.0),
    ...     torch.diag(torch.tensor([1.0, 1.0, 0.0])), saveat=[1.0],
    ... )
    >>> u = layer(torch.tensor([0.2, 0.3, 0.5])).u
    >>> bool((u.sum(-1) - 1.0).abs() < 1e-5)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        constraints: Constraints,
        tspan: Sequence[float],
        mass_matrix: Tensor | NDArray[Any],
        alg: AbstractAlgorithm | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, constraints, tspan, alg, kwargs)
        self.mass_matrix = torch.as_tensor(np.asarray(mass_matrix))

    def _right_hand_side(self, u: Tensor, p: Any, t: Tensor) -> Tensor:
        return torch.cat([self.model(u), self.constraints(u, p, t)], dim=-1)

    @eager
    def forward(self, u0: Tensor, *, tspan: Sequence[float] | None = None, **kwargs: Any) -> Solution:
        """Solve from `u0`; `tspan` and `kwargs` override what was given at construction."""
        rows = u0.numel() // len(self.mass_matrix)
        matrix = torch.block_diag(*[self.mass_matrix] * rows) if u0.ndim > 1 else self.mass_matrix
        return self._solve(ODEProblem(self._right_hand_side, u0, self._span(tspan), mass_matrix=matrix), kwargs)


class NeuralDAE(_ConstrainedLayer):
    """A layer whose output is the solution of 0 = [model([u, u']), constraints(u, p, t)].

    Arguments:
        model: the network of the residual, from `(*batch, 2 d)`, the state and then its derivative, to
            `(*batch, number of differential variables)`.
        constraints: as for [`NeuralODEMM`][].
        tspan: `(t0, t1)`.
        differential_vars: for each of the d variables whether its derivative occurs.
        alg: the algorithm, one that takes mass matrices; `None` as in [`solve`][].
        **kwargs: options of [`solve`][]. `initializealg` is `BrownFullBasicInit()` if it is not given: no derivative
            that one could give fulfils the equations of a network.

    Shapes:
        `forward(u0, du0=None)`: both of shape `(*batch, d)`; `du0` is a guess, zeros where it is `None`. The result is
        a [`Solution`][] whose `u` has shape `(T, *batch, d)`.

    Raises:
        InvalidProblemError: `model` is not a module, the constraints are not a function, or no initial values are
            found that fulfil the equations.

    Engines: both. Source: DiffEqFlux.jl's `NeuralDAE`.

    >>> import torch
    >>> class Relaxation(torch.nn.Module):
    ...     def forward(self, x):  # u₀' + u₀
    ...         return x[..., 2:3] + x[..., :1]
    >>> layer = NeuralDAE(Relaxation(), lambda u, p, t: u[..., 1:] - 2 * u[..., :1], (0.0, 1.0), [True, False])
    >>> [round(x, 3) for x in layer(torch.tensor([1.0, 2.0]), reltol=1e-5).u[-1].tolist()]
    [0.368, 0.736]
    """

    def __init__(
        self,
        model: nn.Module,
        constraints: Constraints,
        tspan: Sequence[float],
        differential_vars: Sequence[bool],
        alg: AbstractAlgorithm | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, constraints, tspan, alg, {"initializealg": BrownFullBasicInit()} | kwargs)
        self.differential_vars = tuple(bool(flag) for flag in differential_vars)

    def _residual(self, du: Tensor, u: Tensor, p: Any, t: Tensor) -> Tensor:
        network = self.model(torch.cat([u, du], dim=-1))
        return torch.cat([network, self.constraints(u, p, t)], dim=-1)

    @eager
    def forward(
        self, u0: Tensor, du0: Tensor | None = None, *, tspan: Sequence[float] | None = None, **kwargs: Any
    ) -> Solution:
        """Solve from `u0`; `tspan` and `kwargs` override what was given at construction."""
        flags = torch.tensor(self.differential_vars).expand(u0.shape)
        start = torch.zeros_like(u0) if du0 is None else du0
        return self._solve(DAEProblem(self._residual, start, u0, self._span(tspan), differential_vars=flags), kwargs)
