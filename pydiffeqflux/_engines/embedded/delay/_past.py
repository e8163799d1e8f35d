"""The solution so far, as a delay equation reads it."""

from bisect import bisect_left

import torch
from torch import Tensor

from ...._functions import Delayed
from .._protocols import Rhs
from .._step import Step
from .._trajectory import Trajectory

LONGEST_EXTRAPOLATION = 2.0
"""The polynomial of a step is a guess for the next one up to so many times its length."""


class SolvedPast:
    """The steps of a solve as the past of its equation.

    Where a step asks for states within itself, it is given the polynomial of its latest attempt, at first that of the
    step before.

    Arguments:
        delayed: what reads it.
        trajectory: the steps so far; they are kept by the solve.
        rhs: the right-hand side that made them.
        u0: the state at the start.

    Attributes:
        attempt: the latest attempt at the step that is being made.
        reads_itself: whether states were asked for that the steps so far do not reach.
        falling: discontinuities that were last passed from their later side to the earlier one, as a delay can do that
            grows faster than time goes.
    """

    def __init__(self, delayed: Delayed, trajectory: Trajectory, rhs: Rhs, u0: Tensor) -> None:
        self.attempt: Step | None = None
        self.reads_itself = False
        self.falling: set[float] = set()
        self._delayed, self._trajectory, self._rhs, self._u0 = delayed, trajectory, rhs, u0
        self._direction = delayed.direction
        self._ends: list[float] = [self._direction * delayed.t0]
        self._start = self._end = delayed.t0

    @property
    def end(self) -> float:
        """The time that is reached."""
        return self._direction * self._ends[-1]

    def begin(self, t: float, dt: float) -> None:
        """Make a step from `t` of size `dt`."""
        self._start, self._end = t, t + dt
        del self._delayed.calls[:-1]  # the last one was at the start
        self.attempt, self.reads_itself = None, False

    def append(self, step: Step) -> None:
        """Take a step that was accepted, and is in the trajectory, for solved."""
        self._ends.append(self._direction * step.end)
        self.attempt = None

    def is_after(self, t: float, now: float) -> bool:
        # stages that lie in a step see both of its ends from within
        at_start = abs(now - self._start) <= abs(now - self._end)
        slack = self._delayed.resolution(now)
        return at_start is not any(abs(t - time) <= slack for time in self.falling)

    def state(self, s: Tensor, derivative: int, now: float) -> Tensor:
        time = float(s.detach())
        place, slack = self._direction * time, self._delayed.resolution(now)
        if place > self._ends[-1] + slack:
            return self._beyond(s, derivative)
        steps = self._trajectory.steps
        i = min(max(bisect_left(self._ends, place) - 1, 0), len(steps) - 1)  # the step that ends at ends[i + 1]
        if i >= 0 and abs(place - self._ends[i + 1]) <= slack and self.is_after(time, now) and i + 1 < len(steps):
            i += 1
        elif i > 0 and abs(place - self._ends[i]) <= slack and not self.is_after(time, now):
            i -= 1
        if i < 0:
            return self._beyond(s, derivative)
        return self._evaluate(steps[i], s, derivative, inside=True)

    def _beyond(self, s: Tensor, derivative: int) -> Tensor:
        """A state that is not solved yet: within the step that is being made."""
        self.reads_itself = True
        if self.attempt is not None:
            return self._evaluate(self.attempt, s, derivative, inside=True)
        steps = self._trajectory.steps
        if steps and abs(float(s.detach()) - steps[-1].end) <= LONGEST_EXTRAPOLATION * abs(float(steps[-1].dt)):
            return self._evaluate(steps[-1], s, derivative, inside=False)
        last = steps[-1].u1 if steps else self._u0
        return torch.zeros_like(last) if derivative else last

    def _evaluate(self, step: Step, s: Tensor, derivative: int, *, inside: bool) -> Tensor:
        """The polynomial of a step, connected to the time where that has a gradient."""
        t, dt = float(step.t), float(step.dt)
        theta = (float(s.detach()) - t) / dt
        if inside:
            theta = min(max(theta, 0.0), 1.0)  # not outside of the step by rounding
        if not s.requires_grad:
            return step.evaluate(self._rhs, theta, derivative)
        coefficients = step.coefficients(self._rhs)
        moving = ((s - s.detach()) / dt + theta).to(coefficients.device, coefficients.dtype)
        value = coefficients[-1] * falling(len(coefficients), derivative)
        for m in range(len(coefficients) - 1, max(derivative, 1) - 1, -1):  # Horner's scheme
            value = coefficients[m - 1] * falling(m, derivative) + value * moving
        if derivative > len(coefficients):
            return torch.zeros_like(value)
        return value / dt**derivative if derivative else step.u0 + value * moving


def falling(m: int, derivative: int) -> float:
    """The factor of the power m after so many derivatives."""
    result = 1.0
    for k in range(derivative):
        result *= m - k
    return result
