"""The one adaptive loop."""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._controllers import AbstractController
from ..._retcode import ReturnCode
from ._initial_step import initial_step
from ._norm import ErrorNorm
from ._step import Method, Rhs, Step
from ._step_control import step_control

EPS = sys.float_info.epsilon


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
    ) -> None:
        self.t, self.u = tspan[0], u
        self.naccept = self.nreject = 0
        self._rhs, self._method, self._norm = rhs, method, norm
        self._direction = math.copysign(1.0, tspan[1] - tspan[0])
        self._span = min(abs(tspan[1] - tspan[0]), dtmax)
        self._adaptive = adaptive
        self._dtmin, self._dtmax, self._maxiters = dtmin, dtmax, maxiters
        self._control = step_control(controller, method)
        self._carry: Any = None
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
            k1 = self._rhs(u, self.t)
            if not bool(torch.isfinite(k1).all()):
                return ReturnCode.InitialFailure
            order = self._method.order
            self.dt = initial_step(self._rhs, u, self.t, k1, self._direction, self._span, order, self._norm)
        if not torch.is_grad_enabled():
            self._carry = self._method.start(k1)
        return None

    def _attempt(self, t_stop: float, on_step: Callable[[Step], None]) -> ReturnCode | None:
        assert self.dt is not None
        remaining = t_stop - self.t
        dt = self.dt
        # Rounding has added up in t; a step that would leave no more than that goes all the way.
        rounding = max(100 * EPS * max(abs(self.t), abs(t_stop)), 1e-9 * abs(dt) * (not self._adaptive))
        last = abs(remaining) - abs(dt) <= rounding
        if last:
            dt = remaining
        step = self._method.step(self._rhs, self.u, self.t, dt, self._carry)
        if step.failed:
            return self._reject(step, 0.5, ReturnCode.ConvergenceFailure)
        factor = 1.0
        if self._adaptive:
            error = self._error(step)
            accepted, factor = self._control.propose(error, dt)
            if not accepted:
                reason = ReturnCode.DtLessThanMin if math.isfinite(error) else ReturnCode.Unstable
                return self._reject(step, factor, reason)
        elif not bool(torch.isfinite(step.u1.detach()).all()):
            return ReturnCode.Unstable
        factor *= self._method.after(step)
        if self._method.keeps_step(factor):
            factor = 1.0
        proposal = dt * factor
        if last and abs(proposal) < abs(self.dt):
            proposal = self.dt  # the stop cut this step short; it says little about the next one
        if self._adaptive:
            self.dt = self._direction * max(min(abs(proposal), self._dtmax), self._dtmin)
        self.t = t_stop if last else self.t + dt
        self.u = step.u1
        self._carry = step.carry
        step.carry = step.retry = None  # Jacobians and factors must not live as long as the steps that are kept
        self.naccept += 1
        step.end = self.t
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
            return reason
        smaller = abs(float(step.dt)) * factor
        if smaller < max(self._dtmin, 4 * EPS * abs(self.t), 1e-300):
            return reason if self._is_finite_after(float(step.dt)) else ReturnCode.Unstable
        self.dt = self._direction * smaller
        self._carry = step.retry
        return None

    def _is_finite_after(self, dt: float) -> bool:
        """Whether the derivative is finite where a step of size `dt` would end."""
        with torch.no_grad():
            return bool(torch.isfinite(self._rhs(self.u.detach(), self.t + dt)).all())
