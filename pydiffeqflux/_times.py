"""Gradients with respect to times: a state moves along its derivative when its time does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._algorithms import EquationKind
from ._errors import GradientError, UnsupportedError
from ._functions import RightHandSide, SourceRightHandSide
from ._problems import AbstractProblem


@dataclass(frozen=True, eq=False)
class GivenTimes:
    """The times that the user gave as tensors that require a gradient.

    Attributes:
        start, end: of the time span.
        saveat: the times to save at.
        every_so_often: whether the times to save at run in equal steps from the start on, and so move with it.
    """

    start: Tensor | None
    end: Tensor | None
    saveat: Tensor | None
    every_so_often: bool

    @property
    def require_gradient(self) -> bool:
        """Whether there are any."""
        return torch.is_grad_enabled() and any(t is not None for t in (self.start, self.end, self.saveat))

    def saved(self, times: Sequence[float], tspan: tuple[float, float]) -> Tensor:
        """The times of the saved states, connected to those that were given."""
        given = {} if self.saveat is None else {float(t.detach()): t for t in self.saveat.unbind()}
        if self.saveat is not None:
            # those outside of the time span by rounding were taken back to its ends
            low, high = min(tspan), max(tspan)
            given = {min(max(t, low), high): tensor for t, tensor in given.items()}
        return torch.stack([self._connected(t, tspan, given) for t in times])

    def _connected(self, t: float, tspan: tuple[float, float], saveat: dict[float, Tensor]) -> Tensor:
        constant = torch.tensor(t, dtype=torch.float64)
        if t in saveat:
            return saveat[t].to(constant)
        if t == tspan[1] and self.end is not None:
            return self.end.to(constant)
        if self.start is not None and (t == tspan[0] or (self.every_so_often and t != tspan[1])):
            return constant + (self.start - self.start.detach()).to(constant)
        return constant


def given_times(prob: AbstractProblem, saveat: Any) -> GivenTimes:
    """Those of a problem and of the option `saveat`.

    Raises:
        UnsupportedError: the derivative of the state cannot be had from `f`.
    """
    start, end = (t if t is not None and t.requires_grad else None for t in prob.tspan_tensors)
    every_so_often = isinstance(saveat, Real) or (isinstance(saveat, np.ndarray | Tensor) and saveat.ndim == 0)
    given = GivenTimes(start, end, None if every_so_often else _differentiable(saveat), every_so_often)
    kinds = {
        "with noise": prob.kind is EquationKind.STOCHASTIC,
        "with delays": prob.kind is EquationKind.DELAY,
        "of a JuliaSource": prob.is_julia_source,
        "with a mass matrix": prob.needs_mass_matrix,
    }
    what = next((kind for kind, found in kinds.items() if found), None)
    if given.require_gradient and what:
        raise UnsupportedError(f"times have no gradient in problems {what}; detach them.")
    return given


def _differentiable(saveat: Any) -> Tensor | None:
    """Times to save at as one tensor, if some of them require a gradient."""
    if isinstance(saveat, list | tuple) and any(isinstance(t, Tensor) and t.requires_grad for t in saveat):
        return torch.stack([torch.as_tensor(t, dtype=torch.float64) for t in saveat])
    return saveat if isinstance(saveat, Tensor) and saveat.requires_grad else None


def moved_with(
    rhs: RightHandSide,
    u: Tensor,
    times: Tensor,
    *,
    backwards: bool = False,
    slopes: Callable[[], Tensor] | None = None,
) -> Tensor:
    """The states `u` at `times`, connected to the times: they are solutions, so `f` is their derivative.

    Arguments:
        rhs: the right-hand side.
        u: states `(T, *shape)`, in the user's form.
        times: shape `(T,)`.
        backwards: whether `u` stays where it is and the solution through it moves, as where `t0` is moved.
        slopes: the derivatives, where `f` cannot be asked for them.
    """
    if rhs.varies:
        raise GradientError("f returns something else each time, so times have no gradient; detach them.")
    sign = -1.0 if backwards else 1.0

    def from_f() -> Tensor:
        assert not isinstance(rhs, SourceRightHandSide)
        states = [rhs.space.to_real(x) for x in u.detach().unbind()]
        return torch.stack([sign * rhs(x.clone(), float(t)) for x, t in zip(states, times.detach(), strict=True)])

    return _Moved.apply(u, times, slopes or from_f, rhs)


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, times: Tensor, slopes: Callable[[], Tensor], rhs: RightHandSide) -> Tensor:
        ctx.slopes, ctx.times, ctx.rhs = slopes, times, rhs
        return u.clone()  # which may be modified in place

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        (v,) = cotangents
        ctx.rhs.check_unmodified()
        with torch.no_grad():
            real = torch.view_as_real(v.resolve_conj()) if v.is_complex() else v
            gradient = (real * ctx.slopes()).reshape(len(v), -1).sum(dim=1).to(torch.float64)
        if torch.is_grad_enabled():
            gradient = FirstOrderOnly.apply(gradient, v, ctx.times)
        return v, gradient, None, None


class FirstOrderOnly(torch.autograd.Function):
    """Marks a gradient so that differentiating it again is an error, not a silent zero."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *anchors: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        raise GradientError(
            "second derivatives of a solution are not supported here; solve with sensealg=ReverseDiffAdjoint() on the "
            "embedded engine, without gradients of times, or take a gradient once only."
        )
