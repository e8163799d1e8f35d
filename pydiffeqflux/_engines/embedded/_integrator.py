"""The one adaptive loop."""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._controllers import AbstractController
from ..._retcode import ReturnCode
from ._norm import ErrorNorm
from ._sides import Sides, within
from ._step import Method, Rhs, Step
from ._step_control import step_control

EPS = sys.float_info.epsilon
UNRESOLVED_TICKS = 32
"""In steps of fewer units of rounding of the time, stages are so far from where they should be that it may matter."""


class Integrator:
    """Steps one initial value problem, in either direction of time.

    It stops where it is told to (`advance`), and its state may be changed there (`jump`). Under `torch.enable_grad` the
    states carry a graph through the steps; the step size control never does.

    Attributes:
        t, u: current time and state.
        dt: signed proposal for the next step.
        naccept, nreject: steps so far.
    """

    def __init__(
        self,
        rhs: Rhs,
        method: Method,
        norm: ErrorNorm,
        u: Tensor,
        tspan: tuple[float, float],
        *,
        adaptive: bool = True,
        dt: float | None = None,
        dtmin: float = 0.0,
        dtmax: float = math.inf,
        maxiters: int = 100_000,
        controller: AbstractController | None = None,
        sides: Sides | None = None,
    ) -> None:
        self.t, self.u = tspan[0], u
        self.naccept = self.nreject = 0
        self._rhs, self._method, self._norm = rhs, method, norm
        self._sides = Sides() if sides is None else sides
        self._final = tspan[1]
        self._eps = torch.finfo(rhs.dtype).eps
        self._direction = math.copysign(1.0, tspan[1] - tspan[0])
        self._span = min(abs(tspan[1] - tspan[0]), dtmax)
        self._adaptive = adaptive
        self._dtmin, self._dtmax, self._maxiters = max(dtmin, method.smallest_step), dtmax, maxiters
        self._control = step_control(controller, method)
        self._carry: Any = None
        self._shortened_from: float | None = None
        self.dt = None if dt is None else self._direction * min(dt, dtmax)

    def jump(self, u: Tensor) -> None:
        """Replace the state."""
        self.u = u
        self._carry = None

    def advance(self, t_stop: float, on_step: Callable[[Step], None]) -> ReturnCode:
        """Integrate to exactly `t_stop`, calling `on_step` after every accepted step."""
        if self.dt is None:
            failure = self._start()
            if failure is not None:
                return failure
        while self._direction * (t_stop - self.t) > 0.0:
            if self.naccept + self.nreject >= self._maxiters:
                return ReturnCode.MaxIters
            failure = self._attempt(t_stop, on_step)
            if failure is not None:
                return failure
        return ReturnCode.Success

    def _start(self) -> ReturnCode | None:
        with torch.no_grad():
            u = self.u.detach()
            rhs = within(self._rhs, self._sides.window(self.t, self._final, math.nan))
            k1 = rhs(u, self.t)
            if not bool(torch.isfinite(k1).all()):
                return ReturnCode.InitialFailure
            self.dt = self._method.first_step(rhs, u, self.t, k1, self._direction, self._span, self._norm)
        if not torch.is_grad_enabled():
            self._carry = self._method.start(k1)
        return None

    def _attempt(self, t_stop: float, on_step: Callable[[Step], None]) -> ReturnCode | None:
        assert self.dt is not None
        remaining = t_stop - self.t
        dt = self._method.round_step(self.t, self.dt)
        # Rounding has added up in t; a step that would leave no more than that goes all the way.
        rounding = max(100 * EPS * max(abs(self.t), abs(t_stop)), 1e-9 * abs(dt) * (not self._adaptive))
        last = abs(remaining) - abs(dt) <= rounding
        if last:
            dt = remaining
        end = t_stop if last else self.t + dt
        window = self._sides.window(self.t, end, dt, inside=self._method.stays_inside)
        step = self._method.step(within(self._rhs, window), self.u, self.t, dt, self._carry)
        step.end, step.window = end, window
        if step.failed:
            return self._reject(step, 0.5, ReturnCode.ConvergenceFailure)
        if step.shorten_to is not None:
            self._again_until(step.shorten_to, step)
            return None
        factor = 1.0
        if self._adaptive:
            error = self._error(step)
            accepted, factor = self._control.propose(error, dt)
            if not accepted:
                reason = ReturnCode.DtLessThanMin if math.isfinite(error) else ReturnCode.Unstable
                return self._reject(step, factor, reason)
        elif not bool(torch.isfinite(step.u1.detach()).all()):
            return self._why(step, ReturnCode.Unstable)
        if abs(dt) < UNRESOLVED_TICKS * self._eps * abs(self.t) and not self._resolves_time(step):
            return ReturnCode.UnresolvedTime
        with torch.no_grad():
            factor *= self._method.after(step)
        if self._method.keeps_step(factor):
            factor = 1.0
        proposal = dt * factor
        if last and abs(proposal) < abs(self.dt):
            proposal = self.dt  # the stop cut this step short; it says little about the next one
        if self._shortened_from is not None:
            proposal, self._shortened_from = max(proposal, self._shortened_from, key=abs), None
        if self._adaptive:
            self.dt = self._direction * max(min(abs(proposal), self._dtmax), self._dtmin)
        self.t = end
        self.u = step.u1
        self._carry = None if end in self._sides else step.carry  # it knows f from the other side only
        step.carry = step.retry = None  # Jacobians and factors must not live as long as the steps that are kept
        self.naccept += 1
        on_step(step)
        return None

    def _error(self, step: Step) -> float:
        if not torch.is_grad_enabled():
            return self._method.error(step, self._norm)
        with torch.no_grad():
            return self._method.error(step, self._norm)

    def _reject(self, step: Step, factor: float, reason: ReturnCode) -> ReturnCode | None:
        self.nreject += 1
        if not self._adaptive:
            return self._why(step, reason)
        smaller = abs(float(step.dt)) * factor
        if smaller < max(self._dtmin, 4 * EPS * abs(self.t), 1e-300):
            return self._why(step, reason)
        self.dt = self._direction * smaller
        self._carry = step.retry
        return None

    def _again_until(self, dt: float, step: Step) -> None:
        """Make a step again that has run over a discontinuity, with the size that leads to it."""
        self.nreject += 1
        self._shortened_from = self.dt if self._shortened_from is None else self._shortened_from
        self.dt, self._carry = dt, step.retry

    def _why(self, step: Step, reason: ReturnCode) -> ReturnCode:
        """What kept the solve from going on, beyond what the method has noticed."""
        rhs = within(self._rhs, step.window)
        with torch.no_grad():
            u, t = self.u.detach(), self.t
            if not bool(torch.isfinite(rhs(u, step.end)).all()):
                return ReturnCode.Unstable
            if step.method.implicit:
                _, jacobian, slope = rhs.linearise(u, t, step.dt)
                if not math.isfinite(jacobian.norm()) or not (slope is None or bool(torch.isfinite(slope).all())):
                    return ReturnCode.NonFiniteJacobian
        return reason

    def _resolves_time(self, step: Step) -> bool:
        """Whether `f` is the same, to the tolerances of this step, at the next time that its dtype can represent."""
        tick = self._direction * self._eps * abs(self.t)
        other = self.t + tick
        if self._direction * (self._final - other) < 0.0:
            other = self.t - tick
        with torch.no_grad():
            u = self.u.detach()
            change = self._rhs(u, other) - within(self._rhs, step.window)(u, self.t)
            return self._norm(change.mul_(step.dt), u, u) <= 1.0
