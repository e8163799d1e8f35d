"""Steps with an implicit drift."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._implicit_stage import implicit_stage
from .._protocols import Time
from .._step import Step
from ._method import StochasticMethod, StochasticRhs

ITERATIONS = 50
"""Newton iterations before a step is given up."""

CONVERGENCE = 1e-3
"""Where steps are adaptive, the last correction may be this share of the tolerance."""


class ImplicitEulerMaruyama(StochasticMethod):
    """ImplicitEM: the noise of EM, and the drift of implicit Euler or the trapezoidal rule.

    The last stage of a step is the drift at its end, z = f(u + (1 - θ) h f(u) + g(u) W + θ h z).

    Arguments:
        theta: the weight θ of the drift at the end of the step.
    """

    error_order = 0.0
    adaptive = True
    implicit = True
    iterates = True

    def __init__(self, *arguments: Any, theta: float) -> None:
        super().__init__(*arguments)
        self._theta = theta
        self._smoother: Callable[[Tensor], Tensor] | None = None

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        gdt = self._theta * dt
        g = self.g(rhs, u, t)
        known = u + self.times(g, noise[0])
        k = None
        if self._theta < 1.0 or step.estimated:
            k = rhs(u, t)
            known = known + (dt - gdt) * k
        if len(step.ks) == 1:
            with torch.no_grad():
                z = self._solve(rhs, u, known.detach(), t, dt)
            if z is None:
                step.failed = True
                return u
            step.ks.append(z)
        z = step.ks[1].detach()
        if torch.is_grad_enabled():
            stage = implicit_stage(rhs, known, z, t + dt, gdt)
            z = z if stage is None else stage
        u1 = known + gdt * z
        if step.estimated:
            assert k is not None
            with torch.no_grad():
                drift = 0.5 * dt * (z - k)
                if self._smoother is not None:  # stiff components, which are damped, would dominate it
                    drift = self._smoother(drift) / gdt
                diffusion = 0.5 * self.times(self.g(rhs, u1, t + dt) - g, noise[0])
                step.estimate = drift.abs() + diffusion.abs()
        return u1

    def _solve(self, rhs: StochasticRhs, u: Tensor, known: Tensor, t: Time, dt: Time) -> Tensor | None:
        """The drift at the end of the step by Newton's method, `None` where it does not converge."""
        gdt = self._theta * dt
        z, jacobian, _ = rhs.linearise(known, t + dt, 0.0)
        solve = jacobian.factor(1.0 / gdt)
        self.nw += 1
        weights = self._norm.weights(u, known)
        previous = math.inf
        for iteration in range(ITERATIONS):
            if solve is None:
                return None
            correction = solve(rhs(known + gdt * z, t + dt) - z) / gdt
            self.nsolve += 1
            z = z + correction
            size = float(torch.linalg.vector_norm(correction / weights)) * abs(float(gdt)) / correction.numel() ** 0.5
            if not math.isfinite(size):
                return None
            # with fixed steps the iteration goes as far as rounding lets it
            if size == 0.0 or (size <= CONVERGENCE and (self._norm.steers or size >= 0.5 * previous)):
                self._smoother = solve
                return z
            if size > 0.3 * previous and iteration < ITERATIONS - 1:
                _, jacobian, _ = rhs.linearise(known + gdt * z, t + dt, 0.0)
                solve = jacobian.factor(1.0 / gdt)
                self.nw += 1
            previous = size
        return None
