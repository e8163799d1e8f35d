"""A solve of a delay equation."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...._algorithms import MethodOfSteps as MethodOfStepsChoice
from ..._base import SolveSpec
from .._integrator import Integrator
from .._norm import ErrorNorm
from .._problem_rhs import ProblemRhs
from .._record import Record
from .._sides import Sides
from .._step import Step
from ._breaking_points import BreakingPoints
from ._method_of_steps import MethodOfSteps
from ._moving_breaks import MovingBreaks
from ._past import SolvedPast

Observer = Callable[[Step], None]


class DelayedSolve:
    """What a delay equation needs in a solve.

    Arguments:
        spec: the solve.
        problem: its right-hand side for steps.
        record: what the solve keeps, all steps among it, and the method that makes them.
        sides: its discontinuities; those that the past makes are added.
        norm: that of errors.

    Attributes:
        method: what makes the steps.
    """

    def __init__(self, spec: SolveSpec, problem: ProblemRhs, record: Record, sides: Sides, norm: ErrorNorm) -> None:
        assert spec.rhs.delayed is not None
        assert isinstance(spec.alg, MethodOfStepsChoice)
        self._rhs, self._delayed, self._problem, self._sides = spec.rhs, spec.rhs.delayed, problem, sides
        self._breaks = BreakingPoints(spec.rhs, spec.tspan, max(method.order for method in spec.alg.methods))
        longest = min(self._breaks.constant, default=math.inf) if spec.alg.constrained else math.inf
        self._past = SolvedPast(self._delayed, record.steps, problem, record.u0)
        self._breaks.tell(sides, self._past)
        self._moving = MovingBreaks(spec.rhs, problem, sides, self._past) if record.taped else None
        self.method = MethodOfSteps(record.method, self._past, self._breaks, norm, longest)

    def with_breaking_points(self, stops: list[float]) -> list[float]:
        """All times that steps must end at; the end of the time span is the last one."""
        end = stops[-1]
        return sorted({*stops, *self._breaks.stops}, reverse=end < self._rhs.tspan[0])

    @contextmanager
    def running(self, integrator: Integrator, observe: Observer) -> Iterator[Observer]:
        """Let the equation read what is solved, as long as it is being solved; gives what is to be done after steps."""

        def after(step: Step) -> None:
            step.coefficients(self._problem)  # now, while what it reads from itself is at hand
            observe(step)
            self._past.append(step)
            if self._moving is not None:
                self._moving.check()
                if step.end in self._sides:
                    integrator.jump(self._moving.moved(step))

        self._delayed.past = self._past
        try:
            yield after
        finally:
            self._delayed.forget(self._rhs.u0)
