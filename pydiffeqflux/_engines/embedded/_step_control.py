"""Step size controllers at work."""

import math
from abc import ABC, abstractmethod

from ..._controllers import AbstractController, IController, PIController, PIDController, PredictiveController
from ._step import Method


class StepControl(ABC):
    """Turns error norms into verdicts on steps and factors for the step size."""

    @abstractmethod
    def propose(self, error: float, dt: float) -> tuple[bool, float]:
        """Whether a step of size `dt` with this error is accepted, and the factor for the next step size."""


class _PI(StepControl):
    """Proportional-integral control; with `beta2 = 0` the elementary controller."""

    def __init__(self, options: AbstractController, beta1: float, beta2: float) -> None:
        self._options = options
        self._beta1, self._beta2 = beta1, beta2
        self._previous = 1e-4

    def propose(self, error: float, dt: float) -> tuple[bool, float]:
        gamma, qmin, qmax = self._options.gamma, self._options.qmin, self._options.qmax
        if not math.isfinite(error):
            return False, qmin
        if error == 0.0:
            return True, qmax
        q = error**self._beta1
        if error > 1.0:
            return False, max(qmin, min(gamma / q, gamma))
        factor = gamma * self._previous**self._beta2 / q
        self._previous = max(error, 1e-4)
        return True, max(qmin, min(qmax, factor))


class _Predictive(StepControl):
    """The elementary controller, and Gustafsson's forecast of how the error is going to change."""

    def __init__(self, options: AbstractController, order: int) -> None:
        self._options = options
        self._order = order
        self._previous: tuple[float, float] | None = None

    def propose(self, error: float, dt: float) -> tuple[bool, float]:
        gamma, qmin, qmax = self._options.gamma, self._options.qmin, self._options.qmax
        if not math.isfinite(error):
            return False, qmin
        error = max(error, 1e-10)
        factor = gamma * error ** (-1.0 / self._order)
        if error > 1.0:
            return False, max(qmin, min(factor, gamma))
        if self._previous is not None:
            old_error, old_dt = self._previous
            trend = abs(dt / old_dt) * (old_error / error) ** (1.0 / self._order)
            factor = min(factor, factor * trend)
        self._previous = (max(error, 1e-2), dt)
        return True, max(qmin, min(qmax, factor))


class _PID(StepControl):
    """Control by the last three errors, with a smooth limiter."""

    def __init__(self, options: PIDController, order: int) -> None:
        self._options = options
        self._exponents = tuple(beta / order for beta in (options.beta1, options.beta2, options.beta3))
        self._inverse_errors = [1.0, 1.0, 1.0]

    def propose(self, error: float, dt: float) -> tuple[bool, float]:
        options = self._options
        if not math.isfinite(error):
            return False, options.qmin
        history = [1.0 / max(error, 1e-10), *self._inverse_errors[:2]]
        product = math.prod(e**beta for e, beta in zip(history, self._exponents, strict=True))
        factor = max(options.qmin, min(options.qmax, 1.0 + math.atan(product - 1.0)))
        accepted = factor >= options.accept_safety
        if accepted:
            self._inverse_errors = history
        return accepted, factor


def step_control(options: AbstractController | None, method: Method) -> StepControl:
    """The controller at work that an option stands for; `None` is the method's own."""
    options = options or method.controller
    if isinstance(options, PredictiveController):
        return _Predictive(options, method.error_order + 1)
    if isinstance(options, PIDController):
        return _PID(options, method.error_order + 1)
    if isinstance(options, IController):
        return _PI(options, 1.0 / (method.error_order + 1), 0.0)
    pi = options if isinstance(options, PIController) else PIController()
    beta1 = 0.7 / (method.error_order + 1) if pi.beta1 is None else pi.beta1
    beta2 = 0.4 / (method.error_order + 1) if pi.beta2 is None else pi.beta2
    return _PI(pi, beta1, beta2)
