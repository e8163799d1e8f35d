"""The three-stage Radau IIA collocation method, its stages solved together by a simplified Newton iteration."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor

from ..._controllers import PredictiveController
from ._norm import ErrorNorm
from ._step import LinearSystem, Method, Rhs, Step, Time, weighted_sum

S6 = sqrt(6.0)
C = ((4.0 - S6) / 10.0, (4.0 + S6) / 10.0, 1.0)
A = (
    ((88.0 - 7.0 * S6) / 360.0, (296.0 - 169.0 * S6) / 1800.0, (-2.0 + 3.0 * S6) / 225.0),
    ((296.0 + 169.0 * S6) / 1800.0, (88.0 + 7.0 * S6) / 360.0, (-2.0 - 3.0 * S6) / 225.0),
    ((16.0 - S6) / 36.0, (16.0 + S6) / 36.0, 1.0 / 9.0),
)
MU = 3.0 + 3.0 ** (2.0 / 3.0) - 3.0 ** (1.0 / 3.0)
"""The real eigenvalue of A⁻¹."""
E = ((-13.0 - 7.0 * S6) / 3.0, (-13.0 + 7.0 * S6) / 3.0, -1.0 / 3.0)
"""Weights of the stages in the error estimate. Source: Hairer, Wanner, *Solving ODEs II*, IV.8."""

MAX_ITERATIONS = 6
KEPT_FACTORS = (0.93, 1.2)
"""A step size that would change by a factor between these is kept, and the factors of W with it."""
STALE_RATE = 1e-3
"""A Newton iteration that converges more slowly than this has the Jacobian renewed for the next step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Newton:
    """A linearisation, with its factors for one step size.

    Attributes:
        f0: the derivative at the start of the step.
        jacobian: the Jacobian, maybe of an earlier step.
        solve, filter: the factors for the stages and for the error estimate.
        dt: the step size that the factors are for.
        fresh: whether the Jacobian is that of the start of the step.
    """

    f0: Tensor
    jacobian: LinearSystem
    solve: Callable[[Tensor], Tensor]
    filter: Callable[[Tensor], Tensor]
    dt: float
    fresh: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Carry:
    """What survives a step: a linearisation that is still good, and the last accepted step for the prediction."""

    newton: _Newton | None
    last: Step | None


class RadauIIA(Method):
    """Radau IIA of order 5. A step is kept as the three increments Zᵢ = u(t + cᵢ dt) - u(t)."""

    order = 5
    error_order = 3
    adaptive = True
    stages_are_derivatives = False
    controller = PredictiveController()

    def __init__(self, norm: ErrorNorm) -> None:
        self._norm = norm
        # Row i holds the coefficients of θ, θ², θ³ of the polynomial that is 1 at cᵢ and 0 at 0 and the other nodes.
        vandermonde = torch.tensor([[c**m for m in (1, 2, 3)] for c in C], dtype=torch.float64)
        self._dense = tuple(tuple(row) for row in torch.linalg.inv(vandermonde).T.tolist())
        self._inverse_a: Tensor | None = None
        self._iterations = 1
        self._reltol = max(float(torch.as_tensor(norm.reltol).max()), 1e-16)

    def _constants(self, like: Tensor) -> Tensor:
        result = self._inverse_a
        if result is None:
            inverse = torch.linalg.inv(torch.tensor(A, dtype=torch.float64))
            result = self._inverse_a = inverse.contiguous().to(dtype=like.dtype, device=like.device)
        return result

    def start(self, k1: Tensor) -> None:
        return None

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: _Carry | None) -> Step:
        assert isinstance(t, float)
        assert isinstance(dt, float)
        last = None if carry is None else carry.last
        with torch.no_grad():
            newton = self._refresh(rhs, u, t, dt, None if carry is None else carry.newton)
            z = None if newton is None else self._iterate(rhs, u, t, dt, newton, last)
            if z is None and newton is not None and not newton.fresh:
                newton = self._refresh(rhs, u, t, dt, None)
                z = None if newton is None else self._iterate(rhs, u, t, dt, newton, last)
            if newton is None or z is None:
                return Step(self, t, dt, u, u, [], retry=_Carry(newton, last), failed=True)
            stages, iterations, rate = z
            self._iterations = iterations
            u1 = u + stages[2]
            estimate = self._estimate(rhs, u, u1, t, dt, stages, newton)
        retry = _Carry(newton, last)
        if torch.is_grad_enabled():
            step = self.replay(rhs, u, t, dt, stages.unbind())
            step.estimate, step.retry = estimate, retry
            return step
        step = Step(self, t, dt, u, u1, list(stages.unbind()), retry=retry, estimate=estimate)
        still_good = iterations <= 2 or rate <= STALE_RATE
        kept = replace(newton, f0=rhs(u1, t + dt), fresh=False) if still_good else None
        # Without the hints of its own start, or every step would keep all those before it alive.
        step.carry = _Carry(kept, Step(self, t, dt, u, u1, step.ks))
        return step

    def after(self, step: Step) -> float:
        """Be more careful the more iterations it took."""
        return (2.0 * MAX_ITERATIONS + 1.0) / (2.0 * MAX_ITERATIONS + self._iterations)

    def keeps_step(self, factor: float) -> bool:
        return KEPT_FACTORS[0] <= factor < KEPT_FACTORS[1]

    def error(self, step: Step) -> Tensor:
        assert step.estimate is not None
        return step.estimate

    def eigenvalue(self, step: Step) -> float:
        return step.retry.newton.jacobian.norm()

    def _refresh(self, rhs: Rhs, u: Tensor, t: float, dt: float, carry: _Newton | None) -> _Newton | None:
        if carry is not None and carry.dt == dt:
            return carry
        if carry is None:
            f0, jacobian, _ = rhs.linearise(u, t)
            fresh = True
        else:
            f0, jacobian, fresh = carry.f0, carry.jacobian, carry.fresh
        solve = jacobian.factor_stages(self._constants(u) / dt)
        filter_ = jacobian.factor(MU / dt)
        self.nw += 2
        if solve is None or filter_ is None:
            return None
        return _Newton(f0, jacobian, solve, filter_, dt, fresh)

    def _iterate(
        self, rhs: Rhs, u: Tensor, t: float, dt: float, newton: _Newton, last: Step | None
    ) -> tuple[Tensor, int, float] | None:
        """The stages, the number of iterations and their rate, or `None` where they do not converge."""
        inverse = self._constants(u) / dt
        z = self._predict(u, dt, last)
        weights = self._norm.weights(u, u)
        rounding = torch.finfo(u.dtype).eps / self._reltol  # corrections cannot become smaller
        tolerance = max(10.0 * rounding, min(0.03, sqrt(self._reltol)))
        times = [t + c * dt for c in C]
        previous, rate = math.inf, 0.0
        limit = 2 * MAX_ITERATIONS if newton.fresh else MAX_ITERATIONS  # with an old Jacobian, rather renew that
        for iteration in range(1, limit + 1):
            derivatives = [rhs(x, ti) for x, ti in zip((z + u).unbind(), times, strict=True)]
            stacked = torch.stack(derivatives).reshape(len(C), -1)
            correction = newton.solve(torch.addmm(stacked, inverse, z.reshape(len(C), -1), alpha=-1.0)).reshape(z.shape)
            self.nsolve += 1
            size = float(torch.linalg.vector_norm(correction / weights)) / math.sqrt(correction.numel())
            if not math.isfinite(size):
                return None
            if size <= 4.0 * rounding:
                return z + correction, iteration, rate
            if previous < math.inf:
                rate = size / previous if previous > 0.0 else 0.0
                left = limit - iteration + 1
                if rate >= 1.0 or rate**left / (1.0 - rate) * size > tolerance:
                    return None
            z = z + correction
            if previous < math.inf and rate / (1.0 - rate) * size < tolerance:
                return z, iteration, rate
            previous = size
        return None

    def _predict(self, u: Tensor, dt: float, last: Step | None) -> Tensor:
        """The last step's polynomial, continued; zero where there is none."""
        if last is None:
            return u.new_zeros(3, *u.shape)
        ratio = dt / float(last.dt)
        weights = []
        for c in C:
            powers = [(1.0 + c * ratio) ** m - 1.0 for m in (1, 2, 3)]
            weights.append([sum(p * x for p, x in zip(powers, row, strict=True)) for row in self._dense])
        return mix(torch.tensor(weights, dtype=u.dtype, device=u.device), torch.stack(last.ks))

    def _estimate(
        self, rhs: Rhs, u: Tensor, u1: Tensor, t: float, dt: float, stages: Tensor, newton: _Newton
    ) -> Tensor:
        """The difference from an embedded formula of order 3, filtered; evaluated once more where it is too large."""
        defect = weighted_sum(stages.unbind(), tuple(enumerate(E))).div_(dt)
        estimate = newton.filter(newton.f0 + defect)
        if self._norm(estimate, u, u1) > 1.0:
            estimate = newton.filter(rhs(u + estimate, t) + defect)
        return estimate

    def replay(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, ks: Sequence[Tensor]) -> Step:
        """Differentiate the converged stages by the implicit function theorem, as in `Esdirk.replay`."""
        inverse = self._constants(u) / dt
        z = torch.stack([k.detach() for k in ks])
        n, count = u.numel(), len(C)
        times = [t + c * dt for c in C]
        inputs = [u + zi for zi in z.unbind()]
        with torch.no_grad():
            systems = [rhs.linearise(x.detach(), ti)[1] for x, ti in zip(inputs, times, strict=True)]
            jacobians = torch.stack([system.matrix for system in systems])
            eye_n, eye_s = (torch.eye(m, dtype=u.dtype, device=u.device) for m in (n, count))
            w = torch.einsum("ij,nm->injm", inverse, eye_n) - torch.einsum("ij,inm->injm", eye_s, jacobians)
            solve = torch.linalg.inv(w.reshape(count * n, count * n))
        derivatives = torch.stack([rhs(x, ti) for x, ti in zip(inputs, times, strict=True)])
        residual = derivatives - mix(inverse, z)
        stages = (z + (solve @ residual.reshape(-1)).reshape(z.shape)).unbind()
        return Step(self, t, dt, u, u + stages[2], list(stages))


def mix(matrix: Tensor, states: Tensor) -> Tensor:
    """Linear combinations of stacked states, one a row of `matrix`."""
    return (matrix @ states.reshape(len(states), -1)).reshape(states.shape)
