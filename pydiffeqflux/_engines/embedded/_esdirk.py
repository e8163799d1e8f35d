"""ESDIRK steps: implicit stages solved by a simplified Newton iteration."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..._tableaus import EsdirkTableau, hermite
from ._implicit_stage import implicit_stage
from ._norm import ErrorNorm
from ._step import LinearSystem, Method, Rhs, Step, Time, combine, nonzero, weighted_sum

MAX_ITERATIONS = 10
PATIENCE = 50
"""The same with fixed steps: there is no smaller step to fall back to."""
POLISHED = 0.5
"""With fixed steps an iteration that has converged goes on for as long as its corrections fall at least this fast."""
CONVERGENCE = 1e-2
"""The last Newton correction may contribute this share of the tolerance."""
SLOW_ITERATIONS = 3
"""More iterations than this for a stage, and the Jacobian is renewed for the next step."""
STALE_RATIO = 0.2
"""Relative change of the step size up to which the factors of W are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class _Newton:
    """What survives a step: the derivative at its end, the Jacobian, the factors of W and their step size."""

    k1: Tensor | None
    jacobian: LinearSystem
    solve: Callable[[Tensor], Tensor]
    gdt: float
    fresh: bool


class Esdirk(Method):
    """The ESDIRK method of a tableau."""

    adaptive = True
    implicit = True
    stages_are_derivatives = True
    iterates = True

    def __init__(self, tableau: EsdirkTableau, norm: ErrorNorm) -> None:
        self.order = tableau.order
        self.error_order = tableau.error_order
        self._gamma = tableau.gamma
        self._stages = tuple((c, nonzero(a)) for c, a in zip(tableau.c, tableau.a, strict=True))[1:]
        self._btilde = nonzero(tableau.btilde)
        # Cubic Hermite: the first and the last stage are the derivatives at the ends of the step. In stiff components
        # these are far less accurate than the states, and so are those of the dense output of the literature.
        *rows, end = hermite((*tableau.a[-1], tableau.gamma))
        rows[-1] = tuple(a + b for a, b in zip(rows[-1], end, strict=True))
        self._dense = tuple(rows)
        self._norm = norm
        self._smoother: Callable[[Tensor], Tensor] | None = None
        self._jacobian: LinearSystem | None = None
        self._iterations = 0

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: _Newton | None) -> Step:
        assert isinstance(dt, float)
        with torch.no_grad():
            newton = self._refresh(rhs, u, t, dt, carry)
            ks = None if newton is None else self._solve_stages(rhs, u, t, dt, newton)
            if ks is None and newton is not None and not newton.fresh:
                newton = self._refresh(rhs, u, t, dt, None)
                ks = None if newton is None else self._solve_stages(rhs, u, t, dt, newton)
        if newton is None or ks is None:
            return Step(self, t, dt, u, u, [], failed=True)
        self._smoother, self._jacobian = newton.solve, newton.jacobian
        if torch.is_grad_enabled():
            return self.replay(rhs, u, t, dt, ks)
        u1 = combine(u, [*ks], (*self._stages[-1][1], (len(ks) - 1, self._gamma)), dt)
        # An iteration that has become slow wants a new Jacobian.
        slow = self._iterations > SLOW_ITERATIONS
        carry = None if slow else _Newton(ks[-1], newton.jacobian, newton.solve, newton.gdt, fresh=False)
        return Step(self, t, dt, u, u1, ks, carry=carry, retry=newton)

    def _refresh(self, rhs: Rhs, u: Tensor, t: Time, dt: float, carry: _Newton | None) -> _Newton | None:
        gdt = self._gamma * dt
        if carry is None:
            k1, jacobian, _ = rhs.linearise(u, t, 0.0)
            fresh = True
        elif abs(gdt / carry.gdt - 1.0) <= STALE_RATIO:
            return carry
        else:
            k1, jacobian, fresh = carry.k1, carry.jacobian, carry.fresh
        solve = jacobian.factor(1.0 / gdt)
        self.nw += 1
        return None if solve is None else _Newton(k1, jacobian, solve, gdt, fresh)

    def _solve_stages(self, rhs: Rhs, u: Tensor, t: Time, dt: float, newton: _Newton) -> list[Tensor] | None:
        ks = [rhs(u, t) if newton.k1 is None else newton.k1]
        gdt = self._gamma * dt
        weights = self._norm.weights(u, u)
        self._iterations = 0
        patient = newton.fresh and not self._norm.steers
        for c, a in self._stages:
            base = combine(u, ks, a, dt)
            k = ks[-1]
            size, previous, converged = math.inf, None, False
            for iteration in range(1, (PATIENCE if patient else MAX_ITERATIONS) + 1):
                if not converged:
                    self._iterations = max(self._iterations, iteration)
                # Newton on R(k) = f(base + γ dt k) - k, with W = 1/(γ dt) - J from newton.gdt.
                residual = rhs(base.add(k, alpha=gdt), t + c * dt) - k
                correction = newton.solve(residual).mul_(2.0 / (newton.gdt * (1.0 + gdt / newton.gdt)))
                k = k + correction
                self.nsolve += 1
                size = float(torch.linalg.vector_norm(correction / weights)) * abs(gdt) / correction.numel() ** 0.5
                if not size < float("inf"):
                    return None
                if size == 0.0:
                    break
                rate = math.inf if previous is None else size / previous
                if converged and rate > POLISHED:
                    break
                if previous is None:
                    converged = size <= 1e-3 * CONVERGENCE
                elif rate < 0.95:
                    converged = converged or size * rate / (1.0 - rate) <= CONVERGENCE
                elif not patient:
                    return None
                if converged and self._norm.steers:
                    break
                previous = size
            if not converged and size > 0.0:
                return None
            ks.append(k)
        return ks

    def start(self, k1: Tensor) -> None:
        return None

    def replay(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, ks: Sequence[Tensor]) -> Step:
        """Differentiate the converged stages by the implicit function theorem."""
        gdt = self._gamma * dt
        stages = [rhs(u, t)]
        for (c, a), converged in zip(self._stages, ks[1:], strict=True):
            stage = implicit_stage(rhs, combine(u, stages, a, dt), converged.detach(), t + c * dt, gdt)
            if stage is None:
                return Step(self, t, dt, u, u, [], failed=True)
            stages.append(stage)
        u1 = combine(u, stages, (*self._stages[-1][1], (len(stages) - 1, self._gamma)), dt)
        return Step(self, t, dt, u, u1, stages)

    def error(self, step: Step, norm: ErrorNorm) -> float:
        """The norm of the embedded estimate, filtered by W⁻¹/(γ dt) so that stiff components do not dominate it."""
        raw = weighted_sum(step.ks, self._btilde).mul_(step.dt)
        filtered = raw if self._smoother is None else self._smoother(raw).div_(self._gamma * step.dt)
        return norm(filtered, step.u0, step.u1)

    def eigenvalue(self, step: Step) -> float:
        return self._jacobian.norm() if self._jacobian is not None else 0.0
