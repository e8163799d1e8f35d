"""A forward solution that can be asked for its state at any time."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from ._sides import Sides, within
from ._step import Method, Rhs, Step

SEGMENT = 64
"""Steps that a checkpointed trajectory keeps densely at a time."""


class Forward(Protocol):
    """What the continuous adjoints need of a forward solution."""

    def state(self, t: float) -> Tensor:
        """The state at `t`."""
        ...

    def breaks(self, a: float, b: float) -> list[float]:
        """The ends of steps strictly between `a` and `b`, in the direction from `a` to `b`."""
        ...


class Trajectory:
    """All steps of a solve, in order."""

    def __init__(self, rhs: Rhs, t0: float, t1: float) -> None:
        self.steps: list[Step] = []
        self._rhs = rhs
        self._direction = math.copysign(1.0, t1 - t0)
        self._ends: list[float] = []  # times the direction, so that they increase

    def append(self, step: Step) -> None:
        """Add the next step."""
        self.steps.append(step)
        self._ends.append(self._direction * step.end)

    def locate(self, t: float) -> tuple[int, float]:
        """The index of the step that `t` lies in and its relative position θ there."""
        i = min(bisect_left(self._ends, self._direction * t), len(self.steps) - 1)
        step = self.steps[i]
        if self._direction * t == self._ends[i]:
            return i, 1.0
        theta = (t - float(step.t)) / float(step.dt)
        return i, min(max(theta, 0.0), 1.0)  # not outside of the step by rounding

    def evaluate(self, t: float, derivative: int = 0) -> Tensor:
        """The dense output or a time derivative of it."""
        i, theta = self.locate(t)
        return self.steps[i].evaluate(self._rhs, theta, derivative)

    def state(self, t: float) -> Tensor:
        """The state at `t`."""
        return self.evaluate(t)

    def breaks(self, a: float, b: float) -> list[float]:
        """The ends of steps strictly between `a` and `b`, in the direction from `a` to `b`."""
        low, high = sorted((self._direction * a, self._direction * b))
        inside = self._ends[bisect_right(self._ends, low) : bisect_left(self._ends, high)]
        times = [self._direction * end for end in inside]
        return times if self._direction * (b - a) > 0.0 else times[::-1]


class CheckpointedTrajectory:
    """A forward solution that is recomputed in pieces while it is read backwards.

    Only the step times and O(log S) states are kept. The pieces are found by bisection: on the way to a late piece the
    states half-way are stored, and serve the earlier pieces afterwards (the scheme of Griewank's *treeverse* with two
    branches).

    Attributes:
        times: the ends of the steps; with the method of each, nine bytes a step.
    """

    def __init__(self, rhs: Rhs, u0: Tensor, t0: float, t1: float, sides: Sides) -> None:
        self.times = array("d", [t0])
        self._rhs = rhs
        self._sides = sides
        self._direction = math.copysign(1.0, t1 - t0)
        self._checkpoints: list[tuple[int, Tensor]] = [(0, u0)]
        self._segments: dict[int, Trajectory] = {}
        self._methods: list[Method] = []
        self._method_of = bytearray()

    def append(self, step: Step) -> None:
        """Note the time and the method of the next step."""
        self.times.append(step.end)
        if step.method not in self._methods:
            self._methods.append(step.method)
        self._method_of.append(self._methods.index(step.method))

    def state(self, t: float) -> Tensor:
        """The state at `t`. Times that fall are answered without recomputing more than once per level."""
        index = self._step_index(t) // SEGMENT
        segment = self._segments.get(index)
        if segment is None:
            segment = self._load(index)
        return segment.state(t)

    def pieces_backwards(self) -> Iterator[Trajectory]:
        """All steps, in pieces, the last one first."""
        for index in range((len(self.times) - 2) // SEGMENT, -1, -1):
            yield self._segments.get(index) or self._load(index)

    def breaks(self, a: float, b: float) -> list[float]:
        """The ends of steps strictly between `a` and `b`, in the direction from `a` to `b`."""
        early, late = (a, b) if self._direction * (b - a) > 0.0 else (b, a)
        first, last = self._step_index(early), self._step_index(late)
        times = [t for t in self.times[first : last + 2] if min(a, b) < t < max(a, b)]
        return times if early == a else times[::-1]

    def _step_index(self, t: float) -> int:
        low, high = 0, len(self.times) - 1  # the step that ends at times[i + 1]
        while high - low > 1:
            middle = (low + high) // 2
            if self._direction * (t - self.times[middle]) > 0.0:
                low = middle
            else:
                high = middle
        return low

    def _redo(self, u: Tensor, i: int) -> Step:
        """Make step number `i` again, from the state `u`."""
        t, end = self.times[i], self.times[i + 1]
        method = self._methods[self._method_of[i]]
        window = self._sides.window(t, end, end - t, inside=method.stays_inside)
        step = method.step(within(self._rhs, window), u, t, end - t, None)
        step.end, step.window = end, window
        return step

    def _load(self, index: int) -> Trajectory:
        if len(self._segments) > 1:  # the two latest: stages of one adjoint step may straddle two pieces
            del self._segments[max(self._segments)]
        first = index * SEGMENT
        while self._checkpoints[-1][0] > first:
            self._checkpoints.pop()
        at, u = self._checkpoints[-1]
        with torch.no_grad():
            while at < first:
                # Store a state half-way to the wanted piece, on a boundary between pieces, and go on from there.
                halfway = (at + max(SEGMENT, (first - at) // 2)) // SEGMENT * SEGMENT
                for i in range(at, min(halfway, first)):
                    u = self._redo(u, i).u1
                at = min(halfway, first)
                if self._checkpoints[-1][0] < at:
                    self._checkpoints.append((at, u))
            segment = Trajectory(self._rhs, self.times[0], self.times[-1])
            for i in range(first, min(first + SEGMENT, len(self.times) - 1)):
                step = self._redo(u, i)
                segment.append(step)
                u = step.u1
        self._segments[index] = segment
        return segment
