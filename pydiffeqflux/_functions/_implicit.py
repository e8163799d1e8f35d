r"""Implicit equations in the form of those with a mass matrix.

\( 0 = f(u', u, p, t) \), where the derivatives of some variables do not occur, is a system for the variables u and the
derivatives v of the others: \( u_d' = v,\ 0 = f((v, 0), u, p, t) \). Its mass matrix is singular, and its index is 1 if
that of the implicit equation is. Every method for mass matrices solves it, and every adjoint differentiates it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._errors import InvalidProblemError, RightHandSideError
from ._checked_function import moved
from ._derivatives import batched_vjp
from ._state import StateSpace


@dataclass(frozen=True, eq=False)
class ImplicitSpace(StateSpace):
    """States with the derivatives of some of their elements behind them, flat, of which the user sees no more than u.

    Attributes:
        differential: the elements whose derivatives are there.
    """

    differential: tuple[int, ...] = ()

    @classmethod
    def around(cls, u0: Tensor, differential: tuple[int, ...]) -> "ImplicitSpace":
        """The space for a state of the user's."""
        size = torch.Size([u0.numel() + len(differential)])
        return cls(size, u0.dtype, u0.device, False, u0.shape, u0.dtype, differential)

    @property
    def hides(self) -> bool:
        return True

    def to_user(self, u: Tensor) -> Tensor:
        return u[..., : self.user_shape.numel()].reshape(*u.shape[:-1], *self.user_shape)

    def to_real(self, u: Tensor) -> Tensor:
        """Zeros stand for the derivatives: this is for cotangents."""
        lead = u.shape[: u.ndim - len(self.user_shape)]
        flat = u.reshape(*lead, self.user_shape.numel())
        return torch.cat([flat, flat.new_zeros(*lead, len(self.differential))], dim=-1)

    def tolerances(self, abstol: float | Tensor, reltol: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
        """The derivatives have none: they follow from u, and to control their errors would only cost steps."""
        hidden = torch.full((len(self.differential),), torch.inf, dtype=self.dtype, device=self.device)
        absolute = torch.as_tensor(abstol, dtype=self.dtype, device=self.device).expand(self.user_shape)
        if isinstance(reltol, Tensor):
            reltol = torch.cat([reltol.expand(self.user_shape).reshape(-1), torch.zeros_like(hidden)])
        return torch.cat([absolute.reshape(-1), hidden]), reltol


def semi_explicit(f: Callable[..., Any], shape: torch.Size, differential: Sequence[int]) -> Callable[..., Any]:
    """`f(du, u, p, t)` as the right-hand side of the equation with a mass matrix.

    Arguments:
        f: the user's residual.
        shape: that of u.
        differential: the elements of u whose derivatives occur.
    """
    n = shape.numel()
    places = torch.tensor(list(differential))
    others = torch.tensor([i for i in range(n) if i not in set(differential)], dtype=torch.long)

    def right_hand_side(x: Tensor, p: Any, t: Tensor) -> Tensor:
        u, v = x[:n], x[n:]
        du = torch.zeros_like(u).index_copy(0, places.to(x.device), v)
        residual = f(du.reshape(shape), u.reshape(shape), p, t).reshape(-1)
        rows = torch.zeros_like(u).index_copy(0, places.to(x.device), v)
        rows = rows.index_copy(0, others.to(x.device), residual[: len(others)])
        return torch.cat([rows, residual[len(others) :]])

    return right_hand_side


def mass_of(n: int, differential: Sequence[int], like: Tensor) -> Tensor:
    """The mass matrix of that equation, and nothing but zeros and ones."""
    diagonal = like.new_zeros(n + len(differential))
    diagonal[list(differential)] = 1.0
    return torch.diag(diagonal)


def equations_of(n: int, differential: Sequence[int]) -> tuple[int | None, ...]:
    """For each row of that equation the element of the residual that it is; `None` for those that define v."""
    others = [i for i in range(n) if i not in set(differential)]
    rows: list[int | None] = [None] * n
    for k, i in enumerate(others):
        rows[i] = k
    return (*rows, *range(len(others), n))


def find_differential(f: Callable[..., Any], du0: Tensor, u0: Tensor, p: Any, t0: Tensor) -> tuple[int, ...]:
    """The elements of u whose derivatives occur in the residual, at the start and at values close to it.

    Raises:
        RightHandSideError: `f` returned something that is not a residual.
        InvalidProblemError: no derivative occurs.
    """
    n = u0.numel()
    occurs = torch.zeros(n, dtype=torch.bool)
    for du, u in ((du0, u0), (moved(du0), u0), (moved(du0), moved(u0))):
        with torch.enable_grad():
            x = du.detach().clone().requires_grad_()
            residual = f(x, u.detach().clone(), p, t0)
            check_residual(residual, u0)
            if not residual.requires_grad:
                continue
            rows = torch.eye(n, dtype=u0.dtype, device=u0.device).reshape(n, *u0.shape)
            (jacobian,) = batched_vjp(residual, (x,), rows)
        if jacobian is not None:
            occurs |= (jacobian.reshape(n, n) != 0.0).any(dim=0).cpu()
    if not bool(occurs.any()):
        raise InvalidProblemError(
            "no derivative occurs in the residual f(du, u, p, t), or f cuts the graph between du and its result; name "
            "the differential variables by differential_vars=[...]."
        )
    return tuple(int(i) for i in occurs.nonzero()[:, 0])


def check_residual(residual: Any, u0: Tensor) -> None:
    """Refuse what is not a residual.

    Raises:
        RightHandSideError: it is something else.
    """
    if not isinstance(residual, Tensor):
        raise RightHandSideError(f"f returned {type(residual).__name__}; it must return a torch tensor like u.")
    if residual.shape != u0.shape or residual.dtype != u0.dtype or residual.device != u0.device:
        raise RightHandSideError(
            f"f returned a tensor of shape {tuple(residual.shape)}, {residual.dtype} on {residual.device}; a residual "
            f"must be like u, {tuple(u0.shape)}, {u0.dtype} on {u0.device}: as many equations as variables."
        )
