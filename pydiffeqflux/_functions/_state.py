"""The states of a problem, as the user and as the engines see them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class StateSpace:
    """The shape and number type of states.

    A complex state of the user's is a real one with a last axis of two for the engines, so that Jacobians, error norms
    and adjoints are those of a real system.

    Attributes:
        shape, dtype: of the real state.
        device: of both.
        is_complex: whether the user's state is.
        user_shape, user_dtype: of the user's state.
    """

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    is_complex: bool
    user_shape: torch.Size
    user_dtype: torch.dtype

    @classmethod
    def of(cls, u0: Tensor) -> "StateSpace":
        """The space that a state of the user's belongs to."""
        real = torch.view_as_real(u0.detach().resolve_conj()) if u0.is_complex() else u0
        return cls(real.shape, real.dtype, real.device, u0.is_complex(), u0.shape, u0.dtype)

    @property
    def numel(self) -> int:
        """The number of real numbers in a state."""
        return self.shape.numel()

    def to_user(self, u: Tensor) -> Tensor:
        """A real state as the user's."""
        return torch.view_as_complex(u.contiguous()) if self.is_complex else u

    def to_real(self, u: Tensor) -> Tensor:
        """A state of the user's as a real one."""
        return torch.view_as_real(u.resolve_conj()) if u.is_complex() else u

    @property
    def hides(self) -> bool:
        """Whether there is more in a state than the user sees."""
        return False

    def tolerances(self, abstol: float | Tensor, reltol: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Tolerances for states of the user's as those for states of the engines."""
        return abstol, reltol

    def time(self, t: float | Tensor) -> Tensor:
        """`t` as the 0-d tensor that user functions receive."""
        return t if isinstance(t, Tensor) else torch.full((), t, dtype=self.dtype, device=self.device)
