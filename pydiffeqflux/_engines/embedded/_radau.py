"""The three-stage Radau IIA collocation method, its stages solved together by a simplified Newton iteration."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ..._controllers import PredictiveController
from ._norm import ErrorNorm, scaled_norm
from ._step import LinearSystem, Method, Rhs, Step, Time, mix

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
PATIENCE = 50
"""The same with fixed steps: there is no smaller step to fall back to."""
POLISHED = 0.5
"""With fixed steps an iteration that has converged goes on for as long as its corrections fall at least this fast."""
STALE_RATE = 1e-3
"""A Newton iteration that converges more slowly than this has the Jacobian renewed for the next step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Newton:
    """A linearisation, with its factors for one step size.

    Attributes:
        f0: the derivative at the start of the step.
        jacobian: the Jacobian, maybe of an earlier step.
        inverse: A⁻¹ / dt.
        solve, filter: the factors for the stages and for the error estimate.
        dt: the step size that these are for.
        fresh: whether the Jacobian is that of the start of the step.
    """

    f0: Tensor
    jacobian: LinearSystem
    inverse: Tensor
    solve: Callable[[Tensor], Tensor]
    filter: Callable[[Tensor], Tensor]
    dt: float
    fresh: bool

    def at(self, f0: Tensor) -> "_Newton":
        """The same for the next step, which starts with the derivative `f0`."""
        return _Newton(f0, self.jacobian, self.inverse, self.solve, self.filter, self.dt, fresh=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Carry:
    """What survives a step: a linearisation that is still good, and the last accepted step for the prediction.

    Attributes:
        newton: the linearisation, `None` where it must be renewed.
        z, dt: increments of the last step, `(3, *shape)`, `None` where there was none, and its size.
    """

    newton: _Newton | None
    z: Tensor | None
    dt: float


class _Constants:
    """Numbers that depend on the dtype and the device of the state.

    Attributes:
        inverse_a: A⁻¹.
        e: weights of the error estimate.
        rounding: below this the corrections of a Newton iteration, measured in tolerances, cannot fall.
        tolerance: at this it has converged.
    """

    def __init__(self, like: Tensor, dense: Sequence[Sequence[float]], reltol: float) -> None:
        self.inverse_a = torch.linalg.inv(torch.tensor(A, dtype=torch.float64)).contiguous().to(like)
        self.e = torch.tensor(E, dtype=like.dtype, device=like.device)
        self.rounding = torch.finfo(like.dtype).eps / reltol
        self.tolerance = max(10.0 * self.rounding, min(0.03, sqrt(reltol)))
        self._nodes = torch.tensor([[c] for c in C], dtype=torch.float64)
        self._powers = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        self._to_polynomial = torch.tensor(dense, dtype=torch.float64).T.contiguous()
        self._extrapolation, self._ratio = torch.zeros_like(self.inverse_a), 0.0

    def extrapolation(self, ratio: float) -> Tensor:
        """The matrix from the increments of a step to those that its polynomial predicts for a step `ratio` as large.

        Step sizes are often kept, so the last matrix is.
        """
        if ratio != self._ratio:
            growth = (self._nodes * ratio + 1.0) ** self._powers - 1.0
            self._extrapolation, self._ratio = (growth @ self._to_polynomial).to(self.e), ratio
        return self._extrapolation


class RadauIIA(Method):
    """Radau IIA of order 5. A step is kept as the three increments Zᵢ = u(t + cᵢ dt) - u(t)."""

    order = 5
    error_order = 3
    adaptive = True
    implicit = True
    stages_are_derivatives = False
    iterates = True
    controller = PredictiveController()

    def __init__(self, norm: ErrorNorm) -> None:
        self._norm = norm
        # Row i holds the coefficients of θ, θ², θ³ of the polynomial that is 1 at cᵢ and 0 at 0 and the other nodes.
        vandermonde = torch.tensor([[c**m for m in (1, 2, 3)] for c in C], dtype=torch.float64)
        self._dense = tuple(tuple(row) for row in torch.linalg.inv(vandermonde).T.tolist())
        self._made: _Constants | None = None
        self._iterations = 1
        self._reltol = max(float(torch.as_tensor(norm.reltol).max()), 1e-16)

    def _constants(self, like: Tensor) -> _Constants:
        if self._made is None:
            self._made = _Constants(like, self._dense, self._reltol)
        return self._made

    def start(self, k1: Tensor) -> None:
        return None

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: _Carry | None) -> Step:
        assert isinstance(t, float)
        assert isinstance(dt, float)
        carry = carry or _Carry(None, None, dt)
        with torch.no_grad():
            newton = self._refresh(rhs, u, t, dt, carry.newton)
            found = None if newton is None else self._iterate(rhs, u, t, dt, newton, carry)
            if found is None and newton is not None and not newton.fresh:
                newton = self._refresh(rhs, u, t, dt, None)
                found = None if newton is None else self._iterate(rhs, u, t, dt, newton, carry)
            retry = _Carry(newton, carry.z, carry.dt)
            if newton is None or found is None:
                return Step(self, t, dt, u, u, [], retry=retry, failed=True)
            z, self._iterations, rate = found
            stages = list(z.unbind())
            u1 = u + stages[-1]
            error = self._estimate(rhs, u, u1, t, dt, z, newton)
        if torch.is_grad_enabled():
            step = self.replay(rhs, u, t, dt, stages)
            step.error, step.retry = error, retry
            return step
        still_good = self._iterations <= 2 or rate <= STALE_RATE
        kept = newton.at(rhs(u1, t + dt)) if still_good else None
        return Step(self, t, dt, u, u1, stages, carry=_Carry(kept, z, dt), retry=retry, error=error)

    def after(self, step: Step) -> float:
        """Be more careful the more iterations it took."""
        return (2.0 * MAX_ITERATIONS + 1.0) / (2.0 * MAX_ITERATIONS + self._iterations)

    def keeps_step(self, factor: float) -> bool:
        return KEPT_FACTORS[0] <= factor < KEPT_FACTORS[1]

    def error(self, step: Step, norm: ErrorNorm) -> float:
        return step.error  # in the norm of the method, which is the same

    def eigenvalue(self, step: Step) -> float:
        return step.retry.newton.jacobian.norm()

    def _refresh(self, rhs: Rhs, u: Tensor, t: float, dt: float, carry: _Newton | None) -> _Newton | None:
        if carry is not None and carry.dt == dt:
            return carry
        if carry is None:
            f0, jacobian, _ = rhs.linearise(u, t, 0.0)
            fresh = True
        else:
            f0, jacobian, fresh = carry.f0, carry.jacobian, carry.fresh
        inverse = self._constants(u).inverse_a / dt
        solve = jacobian.factor_stages(inverse)
        filter_ = jacobian.factor(MU / dt)
        self.nw += 2
        if solve is None or filter_ is None:
            return None
        return _Newton(f0, jacobian, inverse, solve, filter_, dt, fresh)

    def _iterate(
        self, rhs: Rhs, u: Tensor, t: float, dt: float, newton: _Newton, carry: _Carry
    ) -> tuple[Tensor, int, float] | None:
        """The stages, the number of iterations and their rate, or `None` where they do not converge."""
        z = self._predict(u, dt, carry)
        weights = self._norm.weights(u, u)
        rounding, tolerance = self._constants(u).rounding, self._constants(u).tolerance
        times = [t + c * dt for c in C]
        previous, rate, found = math.inf, 0.0, None
        patient = newton.fresh and not self._norm.steers
        limit = 2 * MAX_ITERATIONS if newton.fresh else MAX_ITERATIONS  # with an old Jacobian, rather renew that
        limit = PATIENCE if patient else limit
        for iteration in range(1, limit + 1):
            residual = torch.stack([rhs(x, ti) for x, ti in zip((z + u).unbind(), times, strict=True)])
            residual.view(len(C), -1).addmm_(newton.inverse, z.view(len(C), -1), alpha=-1.0)
            correction = newton.solve(residual)
            self.nsolve += 1
            size = scaled_norm(correction, weights)
            if not math.isfinite(size):
                return None
            z = z + correction
            if found is not None:
                found = z, found[1], found[2]
                if size > POLISHED * previous or size == 0.0:
                    return found
            elif size <= 4.0 * rounding:
                found = z, iteration, rate
            elif previous < math.inf:
                rate = size / previous if previous > 0.0 else 0.0
                hopeless = rate >= 1.0 or rate ** (limit - iteration + 1) / (1.0 - rate) * size > tolerance
                if hopeless and not patient:
                    return None
                if rate < 1.0 and rate / (1.0 - rate) * size < tolerance:
                    found = z, iteration, rate
            if found is not None and self._norm.steers:
                return found
            previous = size
        return found

    def _predict(self, u: Tensor, dt: float, carry: _Carry) -> Tensor:
        """The last step's polynomial, continued; zero where there is none."""
        if carry.z is None:
            return u.new_zeros(len(C), *u.shape)
        return mix(self._constants(u).extrapolation(dt / carry.dt), carry.z)

    def _estimate(self, rhs: Rhs, u: Tensor, u1: Tensor, t: float, dt: float, z: Tensor, newton: _Newton) -> float:
        """The norm of the difference from an embedded formula of order 3, filtered.

        It is evaluated once more where it is too large.
        """
        defect = (self._constants(u).e @ z.view(len(C), -1)).view(u.shape)
        estimate = newton.filter(newton.f0.add(defect, alpha=1.0 / dt))
        error = self._norm(estimate, u, u1)
        if error > 1.0:
            estimate = newton.filter(rhs(u + estimate, t).add(defect, alpha=1.0 / dt))
            error = self._norm(estimate, u, u1)
        return error

    def replay(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, ks: Sequence[Tensor]) -> Step:
        """Differentiate the converged stages by the implicit function theorem, as in `Esdirk.replay`."""
        inverse = self._constants(u).inverse_a / dt
        z = torch.stack([k.detach() for k in ks])
        n, count = u.numel(), len(C)
        times = [t + c * dt for c in C]
        inputs = [u + zi for zi in z.unbind()]
        with torch.no_grad():
            systems = [rhs.linearise(x.detach(), ti, 0.0)[1] for x, ti in zip(inputs, times, strict=True)]
            jacobians = torch.stack([system.matrix for system in systems])
            eye_n, eye_s = (torch.eye(m, dtype=u.dtype, device=u.device) for m in (n, count))
            w = torch.einsum("ij,nm->injm", inverse, eye_n) - torch.einsum("ij,inm->injm", eye_s, jacobians)
            solve = torch.linalg.inv(w.reshape(count * n, count * n))
        derivatives = torch.stack([rhs(x, ti) for x, ti in zip(inputs, times, strict=True)])
        residual = derivatives - mix(inverse, z)
        stages = (z + (solve @ residual.reshape(-1)).reshape(z.shape)).unbind()
        return Step(self, t, dt, u, u + stages[2], list(stages))
