"""Neural ODEs."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._eager import eager
from .._problems import ODEProblem
from .._solution import Solution
from ._dynamics import Dynamics
from ._solving_layer import SolvingLayer


class NeuralODE(SolvingLayer):
    """A layer whose output is the solution of u' = model(u), or u' = model(u, t).

    Arguments:
        model: the network of the derivative, from a tensor of the shape of `u` to one of the same shape. It may take
            the time, a 0-d tensor, as its second argument. It may be compiled, scripted or wrapped, and can be replaced
            at any time: what runs is the attribute `model`.
        tspan: `(t0, t1)`.
        alg: the algorithm; `None` as in [`solve`][].
        time_dependent: whether `model` is called with `(u, t)`. `None` looks at its signature: it is if `forward`
            has a second positional argument without a default. Where `forward` takes `*args`, the signature is that
            of the module inside, if there is one only.
        **kwargs: options of [`solve`][].

    Shapes:
        `forward(u0, tspan=None, **kwargs)`: `u0` of shape `(*batch, d)`; the result is a [`Solution`][] whose `u` has
        shape `(T, *batch, d)`. The whole batch is one problem with one step size.

    Attributes:
        solve_options: the options of `solve`, which may be changed.

    Raises:
        InvalidOptionError: `solve` has no such option.
        InvalidProblemError: `model` is not a module, or cannot be called in this way, or the names of its arguments
            say that it has the time first, as in torchdiffeq.

    Engines: both. Source: DiffEqFlux.jl's `NeuralODE`, which leaves out the time.

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
        super().__init__(tspan, alg, kwargs)
        # In a tuple it is not registered as a submodule: the parameters belong to `model` alone.
        self._dynamics = (Dynamics(model, time_dependent),)
        self.model = model

    @property
    def time_dependent(self) -> bool:
        """Whether `model` is called with `(u, t)`."""
        return self._current_dynamics().time_dependent

    def _current_dynamics(self) -> Dynamics:
        """The right-hand side of `model`, which may have been replaced."""
        (dynamics,) = self._dynamics = (self._dynamics[0].following(self.model),)
        return dynamics

    @eager
    def forward(self, u0: Tensor, *, tspan: Sequence[float] | None = None, **kwargs: Any) -> Solution:
        """Solve from `u0`; `tspan` and `kwargs` override what was given at construction."""
        return self._solve(ODEProblem(self._current_dynamics(), u0, self._span(tspan)), kwargs)

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, alg={self.alg}, time_dependent={self.time_dependent}"
