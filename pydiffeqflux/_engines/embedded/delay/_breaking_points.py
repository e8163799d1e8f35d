"""Where the solution of a delay equation is not smooth, and where that is seen.

The solution has a kink where it starts, since it does not go on as the history did. Where the start is seen through a
delay, its derivative has one, and so on: every delay passes a discontinuity on to a later time, one order smoother. A
method of order q needs to know those up to order q.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...._errors import RightHandSideError
from ...._functions import Delayed, RightHandSide
from .._protocols import Rhs
from .._sides import Sides
from .._step import Step
from ._past import SolvedPast

MOST = 10_000
"""More breaking points of constant lags than this are not tracked."""


class BreakingPoints:
    """The discontinuities of a solution so far, and those that its delays will show.

    Arguments:
        rhs: the right-hand side.
        tspan: start and end time.
        order: discontinuities up to this order matter.

    Attributes:
        constant: the lags that are taken for constant.
        stops: the times at which discontinuities are seen through constant lags alone, in order.
    """

    def __init__(self, rhs: RightHandSide, tspan: tuple[float, float], order: int) -> None:
        assert rhs.delayed is not None
        self._delayed: Delayed = rhs.delayed
        self._direction = self._delayed.direction
        self._order, self._tspan = order, tspan
        self._p = rhs.p[0]
        self._time = rhs.time
        self._to_user = rhs.space.to_user
        lags = self._delayed.lags
        self.constant = _found(rhs) if lags.constant is None else lags.constant
        self._neutral = lags.neutral
        self._dependent = lags.dependent
        self._known: dict[float, int] = {tspan[0]: 0}
        self._sides: Sides | None = None
        self._past: SolvedPast | None = None
        self.stops = self._seen_through_constant_lags() if not self._dependent else []

    def tell(self, sides: Sides, past: SolvedPast) -> None:
        """Tell from now on at which times the solution is not smooth, and from which side these are seen."""
        self._sides, self._past = sides, past
        for time in self.stops:
            sides.add(time)

    def _seen_through_constant_lags(self) -> list[float]:
        """All times that sums of lags lead to, by generations."""
        t0, t1 = self._tspan
        found = [t0]  # in ascending order
        generation = [t0]
        level = 1
        while generation and (level <= self._order or self._neutral) and len(found) < MOST:
            later = (t + self._direction * lag for t in generation for lag in self.constant)
            inside = (t for t in later if self._direction * (t1 - t) > 0.0)
            generation = [t for t in inside if self._insert(found, t)]
            level += 1
        return found[1:] if self._direction > 0.0 else found[-2::-1]

    def _insert(self, found: list[float], time: float) -> bool:
        """Put a time in its place unless it is there; what differs by rounding is the same."""
        i = bisect_left(found, time)
        slack = self._delayed.resolution(max(abs(time), abs(self._tspan[1])))
        if any(abs(near - time) <= slack for near in found[max(i - 1, 0) : i + 1]):
            return False
        found.insert(i, time)
        return True

    # ---- delays that vary

    def inside(self, rhs: Rhs, step: Step) -> float | None:
        """The size that a step must have instead, so that it ends where a discontinuity is seen; `None` for its own.

        Discontinuities that are seen at the end of a step are known from then on.
        """
        if not self._dependent:
            return None
        t, dt = float(step.t), float(step.dt)
        with torch.no_grad():
            crossings = []
            for look in self._looks():
                at_start, at_end = look(step.u0, t), look(step.u1, t + dt)
                for time, level in self._known.items():
                    if level >= self._order and not self._neutral:
                        continue
                    slack = self._delayed.resolution(t + dt)
                    falls = self._direction * (at_end - at_start) < 0.0
                    if abs(at_end - time) <= slack:
                        crossings.append((dt, level, time, falls))
                    elif abs(at_start - time) > slack and (at_start - time) * (at_end - time) < 0.0:
                        crossings.append((self._crossing(rhs, step, look, time), level, time, falls))
        if not crossings:
            return None
        size, level, time, falls = min(crossings, key=lambda crossing: abs(crossing[0]))
        if abs(size) < abs(dt) - self._delayed.resolution(t + dt):
            self._see(time, falls=falls)
            return size
        self._learn(t + dt, level + 1)
        return None

    def _see(self, time: float, *, falls: bool) -> None:
        """A discontinuity is about to be passed."""
        assert self._past is not None
        (self._past.falling.add if falls else self._past.falling.discard)(time)

    def _looks(self) -> list[Callable[[Tensor, float], float]]:
        """For every delay the time that is seen through it, as a function of the state and the time."""

        def through(lag: Callable[[Any, Any, Any], Any]) -> Callable[[Tensor, float], float]:
            def look(u: Tensor, t: float) -> float:
                size = float(lag(self._to_user(u), self._p, self._time(t)))
                if not size >= 0.0:
                    raise RightHandSideError(f"a dependent lag is {size} at t = {t:g}; a delay must not be negative.")
                return t - self._direction * size

            return look

        def back(lag: float) -> Callable[[Tensor, float], float]:
            return lambda u, t: t - self._direction * lag

        return [*map(through, self._dependent), *map(back, self.constant)]

    def _crossing(self, rhs: Rhs, step: Step, look: Callable[[Tensor, float], float], time: float) -> float:
        """How far into a step a time is seen, by bisection and secants on the polynomial of the step."""
        t, dt = float(step.t), float(step.dt)

        def difference(theta: float) -> float:
            return look(step.evaluate(rhs, theta), t + theta * dt) - time

        low, high, middle = 0.0, 1.0, 1.0
        at_low, at_high = difference(low), difference(high)
        for i in range(60):
            middle = 0.5 * (low + high) if i % 3 == 2 else low - at_low * (high - low) / (at_high - at_low)
            value = difference(middle)
            if abs(value) <= 4.0 * torch.finfo(torch.float64).eps * max(abs(time), abs(t)) or high - low < 1e-15:
                break
            if value * at_low > 0.0:
                low, at_low = middle, value
            else:
                high, at_high = middle, value
        return middle * dt

    def _learn(self, time: float, level: int) -> None:
        for known in self._known:
            if abs(known - time) <= self._delayed.resolution(time):
                return
        self._known[time] = level
        if self._sides is not None:
            self._sides.add(time)


def _found(rhs: RightHandSide) -> tuple[float, ...]:
    """The lags that are the same at two times and states, as far as `f` shows them."""
    delayed = rhs.delayed
    assert delayed is not None
    t0, t1 = rhs.tspan
    seen: list[Sequence[float]] = []
    with torch.no_grad():
        for t, u in ((t0, rhs.u0), (t0 + 1e-3 * (t1 - t0), rhs.u0 + 1e-3 * (1.0 + rhs.u0.abs()))):
            delayed.calls.clear()
            try:
                rhs.unchecked(u.clone(), rhs.time(t))
            except Exception:  # at a state that is not the one there, it may fail for good reason
                return ()
            now = float(rhs.time(t))
            seen.append([abs(now - float(s)) for s in delayed.calls[-1]])
    delayed.calls.clear()
    slack = 1e-6 if rhs.dtype == torch.float32 else 1e-12
    pairs = zip(*seen, strict=False)
    span = abs(t1 - t0)
    same = (a for a, b in pairs if abs(a - b) <= slack * max(span, a) and a > slack * span)
    lags: list[float] = []
    for lag in sorted(same):
        if not lags or lag - lags[-1] > slack * max(span, lag):
            lags.append(lag)
    return tuple(lags)
