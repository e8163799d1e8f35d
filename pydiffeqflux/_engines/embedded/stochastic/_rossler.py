"""Stochastic Runge-Kutta steps of Rößler's form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...._tableaus import RosslerTableau
from .._protocols import Time
from .._step import Step, combine, nonzero, weighted_sum
from ._method import StochasticMethod, StochasticRhs, root


class Rossler(StochasticMethod):
    """The method of a tableau; what the symbols mean is said there."""

    needs_area = True
    adaptive = True
    error_order = 0.5

    def __init__(self, *arguments: Any, tableau: RosslerTableau) -> None:
        super().__init__(*arguments)
        self._tableau = tableau
        self.stays_inside = all(0.0 <= c <= 1.0 for c in (*tableau.c0, *tableau.c1))
        count = len(tableau.alpha)
        matrices = (tableau.a0, tableau.b0, tableau.a1, tableau.b1)
        self._a0, self._b0, self._a1, self._b1 = (tuple(map(nonzero, matrix or ((),) * count)) for matrix in matrices)
        used = {j for row in (*self._a0, *self._a1) for j, _ in row}
        self._drifts = [i for i in range(count) if tableau.alpha[i] != 0.0 or i in used]

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        table, h = self._tableau, root(dt)
        i1, i10 = noise[0], 0.5 * noise[0] + noise[1]
        ks: list[Any] = []  # stages of f that nothing is made of are left out
        gs: list[Tensor] = []
        for i in range(len(table.alpha)):
            k = None
            if i in self._drifts:
                x = combine(u, ks, self._a0[i], dt)
                if self._b0[i]:
                    x = x + self.times(weighted_sum(gs, self._b0[i]), i10)
                k = rhs(x, t + table.c0[i] * dt)
            y = u if table.b1 == () else combine(combine(u, ks, self._a1[i], dt), gs, self._b1[i], h)
            ks.append(k)
            gs.append(self.g(rhs, y, t + table.c1[i] * dt))
        drift = weighted_sum(ks, nonzero(table.alpha))
        rest = self.times(weighted_sum(gs, nonzero(table.beta3)), i10)
        noise_term = self.times(weighted_sum(gs, nonzero(table.beta1)), i1)
        if table.beta2:
            i11 = (i1**2 - dt) / (2.0 * h)
            i111 = (i1**3 - 3.0 * dt * i1) / (6.0 * dt)
            noise_term = noise_term + i11 * weighted_sum(gs, nonzero(table.beta2))
            rest = rest + i111 * weighted_sum(gs, nonzero(table.beta4))
        if step.estimated:
            with torch.no_grad():
                step.estimate = (dt * (drift - ks[0])).abs() + rest.abs()
        return u + drift * dt + noise_term + rest
