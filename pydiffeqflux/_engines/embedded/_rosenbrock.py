"""Rosenbrock steps: linearly implicit, one Jacobian and one factorisation a step."""

from typing import NamedTuple

from torch import Tensor

from ..._controllers import PredictiveController
from ..._tableaus import RosenbrockTableau, Row
from ._norm import ErrorNorm
from ._step import LinearSystem, Method, Rhs, Step, Time, Weights, combine, nonzero, weighted_sum

Linearisation = tuple[Tensor, LinearSystem, Tensor | None]


class _Sum(NamedTuple):
    """The input of a stage, or the end of the step: what to add to the state, or to the input of the stage before.

    The last stages of stiffly accurate methods continue one another: each adds the stage before it.
    """

    weights: Weights
    continues: bool


def _sum(row: Row, before: Row) -> _Sum:
    """The sum for a row of a tableau, given the row before it."""
    continues = row[:-1] == before
    return _Sum(tuple((i, a) for i, a in nonzero(row) if not continues or i >= len(before)), continues)


class Rosenbrock(Method):
    """The Rosenbrock method of a tableau. A rejected step is tried again with the same Jacobian."""

    adaptive = True
    implicit = True
    controller = PredictiveController(gamma=0.8)
    stages_are_derivatives = False

    def __init__(self, tableau: RosenbrockTableau) -> None:
        self.order = tableau.order
        self.error_order = tableau.error_order
        self._gamma = tableau.gamma
        rows = [*tableau.a, tableau.b]
        *inputs, self._end = (_sum(row, before) for row, before in zip(rows, [(), *rows], strict=False))
        self._stages = tuple(
            (c, a, nonzero(row), d) for c, a, row, d in zip(tableau.c, inputs, tableau.C, tableau.d, strict=True)
        )
        self._btilde = nonzero(tableau.btilde)
        self._dense = tableau.dense

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Linearisation | None) -> Step:
        f0, jacobian, dfdt = linearisation = rhs.linearise(u, t, dt) if carry is None else carry
        solve = jacobian.factor(1.0 / (self._gamma * dt))
        self.nw += 1
        if solve is None:
            return Step(self, t, dt, u, u, [], retry=linearisation, failed=True)
        ks: list[Tensor] = []
        x = u
        for i, (c, a, row, d) in enumerate(self._stages):
            x = combine(x if a.continues else u, ks, a.weights, 1.0)
            residual = f0 if i == 0 else rhs(x, t + c * dt)
            if row:
                if rhs.mass is None:
                    residual = combine(residual, ks, row, 1.0 / dt)
                else:
                    residual = residual + rhs.mass(weighted_sum(ks, row)) / dt
            if d != 0.0 and dfdt is not None:
                residual = residual + dfdt * (d * dt)
            ks.append(solve(residual))
        self.nsolve += len(ks)
        u1 = combine(x if self._end.continues else u, ks, self._end.weights, 1.0)
        return Step(self, t, dt, u, u1, ks, retry=linearisation)

    def start(self, k1: Tensor) -> None:
        return None

    def error(self, step: Step, norm: ErrorNorm) -> float:
        return norm(weighted_sum(step.ks, self._btilde), step.u0, step.u1)

    def eigenvalue(self, step: Step) -> float:
        return step.retry[1].norm()
