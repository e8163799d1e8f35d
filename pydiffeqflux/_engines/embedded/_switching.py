"""Automatic switching between an explicit and a stiff method."""

from typing import Any

from torch import Tensor

from ..._algorithms import AutoAlgSwitch
from ._explicit_rk import ExplicitRK
from ._norm import ErrorNorm
from ._step import Method, Rhs, Step, Time


class Switching(Method):
    """Two methods and the watch that chooses between them.

    Stiffness is `|λ dt|` against the extent of the explicit method's stability region, λ the eigenvalue estimate of the
    method in use. Verdicts are counted: positive for consecutive stiff ones, negative for others.
    """

    adaptive = True
    stages_are_derivatives = True  # never asked: every step names the method that made it

    def __init__(self, alg: AutoAlgSwitch, nonstiff: ExplicitRK, stiff: Method) -> None:
        assert nonstiff.stability_size is not None
        self._alg, self._nonstiff, self._stiff = alg, nonstiff, stiff
        self._limit = nonstiff.stability_size
        self._current: Method = nonstiff
        self._count = 0

    @property
    def order(self) -> int:  # type: ignore[override]
        return self._current.order

    @property
    def error_order(self) -> int:  # type: ignore[override]
        return self._current.error_order

    @property
    def nsolve(self) -> int:  # type: ignore[override]
        return self._stiff.nsolve

    @property
    def nw(self) -> int:  # type: ignore[override]
        return self._stiff.nw

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Any) -> Step:
        return self._current.step(rhs, u, t, dt, carry)

    def start(self, k1: Tensor) -> Any:
        return self._current.start(k1)

    def error(self, step: Step, norm: ErrorNorm) -> float:
        return step.method.error(step, norm)

    def eigenvalue(self, step: Step) -> float:
        return step.method.eigenvalue(step)

    def after(self, step: Step) -> float:
        alg = self._alg
        on_stiff = self._current is self._stiff
        tolerance = alg.stifftol if on_stiff else alg.nonstifftol
        if abs(self.eigenvalue(step) * float(step.dt)) > self._limit * tolerance:
            self._count = max(self._count, 0) + 1
        else:
            self._count = min(self._count, 0) - 1
        if not on_stiff and self._count > alg.maxstiffstep:
            self._current, step.carry = self._stiff, None
            return alg.dtfac
        if on_stiff and self._count < -alg.maxnonstiffstep:
            self._current, step.carry = self._nonstiff, None
            return 1.0 / alg.dtfac
        return 1.0
