"""What methods step with: times, right-hand sides and their Jacobians."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Time = float | Tensor
"""Times are Python floats in a solve, and 0-d tensors where steps are mapped over by `torch.vmap`."""


class LinearSystem(Protocol):
    """The Jacobian of a right-hand side, ready to be put into W = scale M - J."""

    def factor(self, scale: Time) -> Callable[[Tensor], Tensor] | None:
        """A function that solves W x = b for states b, or `None` where W is singular."""
        ...

    def factor_stages(self, matrix: Tensor) -> Callable[[Tensor], Tensor] | None:
        """A function that solves (matrix ⊗ M - I ⊗ J) x = b for stacked states `(s, *shape)`, as `factor`."""
        ...

    @property
    def matrix(self) -> Tensor:
        """J itself, `(N, N)`."""
        ...

    def norm(self) -> float:
        """The largest absolute row sum of J."""
        ...


class Rhs(Protocol):
    """What a method needs of a right-hand side."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    mass: Callable[[Tensor], Tensor] | None

    def __call__(self, u: Tensor, t: Time) -> Tensor: ...

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, LinearSystem, Tensor | None]:
        """`f`, its Jacobian and `∂f/∂t`, all at `(u, t)`; `None` for the last where it is zero.

        Where `∂f/∂t` is a difference, it looks no further than `ahead`, which has the sign of the step. It is not
        wanted where `ahead` is zero.
        """
        ...
