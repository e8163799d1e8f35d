"""Explicit Runge-Kutta steps."""

import torch
from torch import Tensor

from ..._tableaus import ExplicitTableau
from ._norm import ErrorNorm
from ._step import Method, Rhs, Step, Time, combine, nonzero, weighted_sum


class ExplicitRK(Method):
    """The explicit Runge-Kutta method of a tableau."""

    stages_are_derivatives = True

    def __init__(self, tableau: ExplicitTableau, norm: ErrorNorm) -> None:
        self.order = tableau.order
        self.error_order = tableau.error_order
        self.adaptive = tableau.btilde is not None
        self.stability_size = tableau.stability_size
        self._fsal = tableau.fsal
        self._stages = tuple((c, nonzero(a)) for c, a in zip(tableau.c, tableau.a, strict=True))[1:]
        self._extra = tuple((c, nonzero(a)) for c, a in zip(tableau.extra_c, tableau.extra_a, strict=True))
        self._n_stages = len(tableau.c)
        self._b = nonzero(tableau.b)
        self._btilde = nonzero(tableau.btilde or ())
        self._dense = tableau.dense
        self._tableau = tableau
        self._norm = norm

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Tensor | None) -> Step:
        ks = [rhs(u, t) if carry is None else carry]
        x = u
        for c, weights in self._stages:
            x = combine(u, ks, weights, dt)
            ks.append(rhs(x, t + c * dt))
        u1 = x if self._fsal else combine(u, ks, self._b, dt)
        return Step(self, t, dt, u, u1, ks, carry=ks[-1] if self._fsal else None, retry=ks[0])

    def start(self, k1: Tensor) -> Tensor:
        return k1

    def error(self, step: Step, norm: ErrorNorm) -> float:
        return norm(weighted_sum(step.ks, self._btilde).mul_(step.dt), step.u0, step.u1)

    def eigenvalue(self, step: Step) -> float:
        """|f(x_s) - f(x_{s-1})| / |x_s - x_{s-1}| for the last two stages, both at the end of the step.

        Measured in tolerances: else large, slow components would hide small, stiff ones.
        """
        last, before = (combine(step.u0, step.ks, weights, step.dt) for _, weights in self._stages[:-3:-1])
        k_last, k_before = step.ks[self._n_stages - 1], step.ks[self._n_stages - 2]
        weights = self._norm.weights(step.u0, step.u1)
        distance = float(torch.linalg.vector_norm((last - before) / weights))
        return float(torch.linalg.vector_norm((k_last - k_before) / weights)) / distance if distance > 0.0 else 0.0

    def matrices(self, *, dense: bool) -> tuple[list[list[float]], list[float], list[float]]:
        """Stage weights as a square matrix, step weights and abscissae; with the extra stages of the dense output."""
        tableau = self._tableau
        rows = (*tableau.a, *tableau.extra_a) if dense else tableau.a
        size = len(rows)
        a = [[*row, *(0.0 for _ in range(size - len(row)))] for row in rows]
        b = [*tableau.b, *(0.0 for _ in range(size - len(tableau.b)))]
        return a, b, [*tableau.c, *tableau.extra_c][:size]

    def dense_stages(self, rhs: Rhs, step: Step) -> list[Tensor]:
        if len(step.ks) == self._n_stages:
            ks = list(step.ks)
            for c, weights in self._extra:
                x = combine(step.u0, ks, weights, step.dt)
                ks.append(rhs(x, step.t + c * step.dt))
            step.ks = ks
        return step.ks
