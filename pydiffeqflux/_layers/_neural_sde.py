"""Neural SDEs."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._eager import eager
from .._errors import InvalidProblemError
from .._problems import SDEProblem
from .._solution import Solution
from ._dynamics import Dynamics
from ._solving_layer import SolvingLayer


class _StochasticLayer(SolvingLayer):
    """Two networks, one the drift and one the diffusion of an equation."""

    def __init__(
        self,
        drift: nn.Module,
        diffusion: nn.Module,
        tspan: Sequence[float],
        alg: AbstractAlgorithm | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tspan, alg, kwargs)
        # in a tuple they are not registered as submodules: the parameters belong to the networks alone
        self._dynamics = (Dynamics(drift, None), Dynamics(diffusion, None))
        self.drift, self.diffusion = drift, diffusion

    def _functions(self) -> tuple[nn.Module, nn.Module]:
        """Drift and diffusion as functions, of the networks that there are now."""
        f, g = self._dynamics
        self._dynamics = f.following(self.drift), g.following(self.diffusion)
        return self._dynamics

    @eager
    def forward(self, u0: Tensor, *, tspan: Sequence[float] | None = None, **kwargs: Any) -> Solution:
        """Solve from `u0`; `tspan` and `kwargs` override what was given at construction."""
        f, g = self._functions()
        return self._solve(SDEProblem(f, g, u0, self._span(tspan)), kwargs)

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, alg={self.alg}"


class NeuralDSDE(_StochasticLayer):
    """A layer whose output is the solution of du = drift(u) dt + diffusion(u) dW with diagonal noise.

    Arguments:
        drift: the network of the drift, from a tensor of the shape of `u` to one of the same shape. It may take the
            time, a 0-d tensor, as its second argument.
        diffusion: the network of the diffusion, likewise.
        tspan: `(t0, t1)`.
        alg: the algorithm; `None` as in [`solve`][].
        **kwargs: options of [`solve`][], `seed` for the same noise at every call.

    Shapes:
        `forward(u0)`: `u0` of shape `(*batch, d)`; the result is a [`Solution`][] whose `u` has shape
        `(T, *batch, d)`. Every element of the batch has motions of its own.

    Raises:
        InvalidProblemError: a network is not a module, or cannot be called in this way.

    Engines: both. Source: DiffEqFlux.jl's `NeuralDSDE`.

    >>> import torch
    >>> from pydiffeqflux import EM
    >>> layer = NeuralDSDE(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), (0.0, 1.0), EM(), dt=0.1, saveat=[0.5, 1.0])
    >>> layer(torch.zeros(5, 2)).u.shape
    torch.Size([2, 5, 2])
    """


class NeuralSDE(_StochasticLayer):
    """A layer whose output is the solution of du = drift(u) dt + diffusion(u) dW with general noise.

    Arguments:
        drift: as for [`NeuralDSDE`][].
        diffusion: a network from `(*batch, d)` to `(*batch, d * nbrown)`, the rows of a matrix one after the other, or
            to `(*batch, d, nbrown)`.
        tspan: `(t0, t1)`.
        nbrown: the number of motions that every element of the batch has.
        alg: the algorithm; `None` as in [`solve`][].
        **kwargs: as above.

    Shapes:
        As for `NeuralDSDE`.

    Raises:
        InvalidProblemError: a network is not a module, or cannot be called in this way, or `nbrown` is not positive.

    Engines: both. Source: DiffEqFlux.jl's `NeuralSDE`, where columns follow each other.

    >>> import torch
    >>> from pydiffeqflux import EM
    >>> layer = NeuralSDE(torch.nn.Linear(2, 2), torch.nn.Linear(2, 6), (0.0, 1.0), 3, EM(), dt=0.1, saveat=[1.0])
    >>> layer(torch.zeros(5, 2)).u.shape
    torch.Size([1, 5, 2])
    """

    def __init__(
        self,
        drift: nn.Module,
        diffusion: nn.Module,
        tspan: Sequence[float],
        nbrown: int,
        alg: AbstractAlgorithm | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(drift, diffusion, tspan, alg, **kwargs)
        if isinstance(nbrown, bool) or not isinstance(nbrown, int) or nbrown < 1:
            raise InvalidProblemError(f"nbrown is {nbrown!r}; it is the number of motions, at least 1.")
        self.nbrown = nbrown
        self._matrix: tuple[_Matrix, ...] = ()

    def _functions(self) -> tuple[nn.Module, nn.Module]:
        f, g = super()._functions()
        if not self._matrix or self._matrix[0].dynamics is not g:
            self._matrix = (_Matrix(g, self.nbrown),)
        return f, self._matrix[0]

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, nbrown={self.nbrown}, alg={self.alg}"


class _Matrix(nn.Module):
    """A diffusion whose network returns a matrix in one row."""

    def __init__(self, dynamics: nn.Module, nbrown: int) -> None:
        super().__init__()
        self.dynamics, self.nbrown = dynamics, nbrown

    def forward(self, u: Tensor, p: Any, t: Tensor) -> Tensor:
        return self.dynamics(u, p, t).reshape(*u.shape, self.nbrown)
