"""Steps of a delay equation."""

from typing import Any

import torch
from torch import Tensor

from .._norm import ErrorNorm
from .._step import Method, Rhs, Step, Time
from ._breaking_points import BreakingPoints
from ._past import SolvedPast

SETTLED = 0.01
"""Attempts are repeated until they differ by no more than this part of the tolerance."""

SETTLED_UNITS = 64
"""Where the step size is fixed, until they differ by no more than so many units of rounding."""

ATTEMPTS = 10
"""So often is a step repeated whose size is controlled."""

FIXED_ATTEMPTS = 100
"""So often is one repeated whose size is fixed, and which is to settle to rounding."""


class MethodOfSteps(Method):
    """A method for ordinary equations, on an equation that reads the steps made before.

    A step that reads from itself is repeated with its own polynomial, a fixed-point iteration that converges where the
    step is short enough; else it fails, and a shorter one is tried.

    Arguments:
        method: what makes the steps. They name it as their method.
        past: what `f` reads.
        breaks: the discontinuities to look for.
        norm: that of errors.
        longest: an upper bound of steps.
    """

    def __init__(
        self, method: Method, past: SolvedPast, breaks: BreakingPoints, norm: ErrorNorm, longest: float
    ) -> None:
        self._method, self._past, self._breaks, self._norm, self._longest = method, past, breaks, norm, longest
        self.adaptive, self.implicit, self.iterates = method.adaptive, method.implicit, method.iterates
        self.controller, self.stays_inside = method.controller, method.stays_inside
        self.stages_are_derivatives = method.stages_are_derivatives

    @property
    def order(self) -> int:  # type: ignore[override]
        return self._method.order

    @property
    def error_order(self) -> int:  # type: ignore[override]
        return self._method.error_order

    @property
    def nsolve(self) -> int:  # type: ignore[override]
        return self._method.nsolve

    @property
    def nw(self) -> int:  # type: ignore[override]
        return self._method.nw

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Any) -> Step:
        assert isinstance(t, float)
        assert isinstance(dt, float)
        past = self._past
        past.begin(t, dt)
        step = self._method.step(rhs, u, t, dt, carry)
        if past.reads_itself and not step.failed:
            step = self._settled(rhs, step, carry)
        if not step.failed:
            step.shorten_to = self._breaks.inside(rhs, step)
        return step

    def _settled(self, rhs: Rhs, step: Step, carry: Any) -> Step:
        """Repeat a step that reads from itself."""
        t, dt = float(step.t), float(step.dt)
        for _ in range(ATTEMPTS if self._norm.steers else FIXED_ATTEMPTS):
            step.coefficients(rhs)  # from the attempt before
            self._past.attempt = step
            again = self._method.step(rhs, step.u0, t, dt, carry)
            if again.failed or self._agree(step, again):
                return again
            step = again
        step.failed = True
        return step

    def _agree(self, step: Step, again: Step) -> bool:
        with torch.no_grad():
            change = again.u1 - step.u1
            if self._norm.steers:
                return self._norm(change, step.u0, again.u1) <= SETTLED
            size = torch.maximum(again.u1.abs().max(), again.u0.abs().max())
            return bool(change.abs().max() <= SETTLED_UNITS * torch.finfo(change.dtype).eps * size)

    def start(self, k1: Tensor) -> Any:
        return self._method.start(k1)

    def error(self, step: Step, norm: ErrorNorm) -> float:
        return step.method.error(step, norm)

    def eigenvalue(self, step: Step) -> float:
        return step.method.eigenvalue(step)

    def round_step(self, t: float, dt: float) -> float:
        return max(-self._longest, min(dt, self._longest))

    def after(self, step: Step) -> float:
        return self._method.after(step)

    def keeps_step(self, factor: float) -> bool:
        return self._method.keeps_step(factor)
