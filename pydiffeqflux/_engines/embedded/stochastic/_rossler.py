"""Stochastic Runge-Kutta steps of Rößler's form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...._tableaus import RosslerTableau
from .._protocols import Time
from .._step import Step, nonzero
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
        rows = [tuple(map(nonzero, table or ((),) * count)) for table in _matrices(tableau)]
        self._a0, self._b0, self._a1, self._b1 = rows
        used = {j for row in (*self._a0, *self._a1) for j, _ in row}
        self._drifts = [i for i in range(count) if tableau.alpha[i] != 0.0 or i in used]

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        table, h = self._tableau, root(dt)
        i1, i10 = noise[0], 0.5 * noise[0] + noise[1]
        ks: list[Tensor | None] = []
        gs: list[Tensor] = []
        for i in range(len(table.alpha)):
            k = None
            if i in self._drifts:
                x = _add(u, ks, self._a0[i], dt)
                if self._b0[i]:
                    x = x + self.times(_sum(gs, self._b0[i]), i10)
                k = rhs(x, t + table.c0[i] * dt)
            y = u if table.b1 == () else _add(_add(u, ks, self._a1[i], dt), gs, self._b1[i], h)
            ks.append(k)
            gs.append(self.g(rhs, y, t + table.c1[i] * dt))
        drift = _sum(ks, nonzero(table.alpha))
        rest = self.times(_sum(gs, nonzero(table.beta3)), i10)
        noise_term = self.times(_sum(gs, nonzero(table.beta1)), i1)
        if table.beta2:
            i11 = (i1**2 - dt) / (2.0 * h)
            i111 = (i1**3 - 3.0 * dt * i1) / (6.0 * dt)
            noise_term = noise_term + i11 * _sum(gs, nonzero(table.beta2))
            rest = rest + i111 * _sum(gs, nonzero(table.beta4))
        if step.estimated:
            with torch.no_grad():
                assert ks[0] is not None
                step.estimate = (dt * (drift - ks[0])).abs() + rest.abs()
        return u + drift * dt + noise_term + rest


def _matrices(table: RosslerTableau) -> tuple[Any, ...]:
    return table.a0, table.b0, table.a1, table.b1


def _sum(parts: Sequence[Tensor | None], weights: Sequence[tuple[int, float]]) -> Any:
    """`Σ weight part`, out of place."""
    total: Any = None
    for i, weight in weights:
        part = parts[i]
        assert part is not None
        total = part * weight if total is None else torch.add(total, part, alpha=weight)
    return total


def _add(u: Tensor, parts: Sequence[Tensor | None], weights: Sequence[tuple[int, float]], scale: Any) -> Tensor:
    """`u + scale Σ weight part`."""
    return u + scale * _sum(parts, weights) if weights else u
