"""Methods of Euler's and Milstein's kind: EM, LambaEM, EulerHeun, RKMil.

Sources: StochasticDiffEq.jl, whose formulas give the same states on the same noise; Kloeden, Platen 1992, *Numerical
solution of stochastic differential equations*.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._protocols import Time
from .._step import Step
from ._method import StochasticMethod, StochasticRhs, root


class EulerMaruyama(StochasticMethod):
    """EM, and LambaEM, which evaluates `g` at the end of the step and has an error estimate.

    Arguments:
        split: whether `g` is evaluated after the drift has been added.
        adaptive: whether this is LambaEM.
    """

    error_order = 0.0

    def __init__(self, *arguments: Any, split: bool, adaptive: bool) -> None:
        super().__init__(*arguments)
        self.adaptive = adaptive
        self._split = split

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        (w,) = noise
        k = rhs(u, t)
        drifted = u + k * dt
        g = self.g(rhs, drifted if self._split else u, t + dt if self.adaptive else t)
        u1 = drifted + self.times(g, w)
        if step.estimated:
            with torch.no_grad():
                drift = 0.5 * dt * (rhs(drifted, t + dt) - k)
                diffusion = 0.5 * self.times(self.g(rhs, u1, t + dt) - g, w)
                step.estimate = drift.abs() + diffusion.abs()
        return u1


class EulerHeun(StochasticMethod):
    """Euler-Heun."""

    error_order = 0.0
    adaptive = False

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        (w,) = noise
        k, g = rhs(u, t), self.g(rhs, u, t)
        guess = u + k * dt + self.times(g, w)
        g_mean = (g + self.g(rhs, guess, t + dt)) / 2
        return u + (k + rhs(guess, t + dt)) * (dt / 2) + self.times(g_mean, w)


class Milstein(StochasticMethod):
    """RKMil: Milstein's method with a difference in the place of the derivative of `g` along itself.

    Arguments:
        ito: whether it solves for Itô's integral.
    """

    error_order = 0.5
    adaptive = True

    def __init__(self, *arguments: Any, ito: bool) -> None:
        super().__init__(*arguments)
        self._ito = ito

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        (w,) = noise
        k, g = rhs(u, t), self.g(rhs, u, t)
        drifted = u + k * dt
        slope = (self.g(rhs, (drifted if self._ito else u) + g * root(dt), t) - g) / root(dt)
        square = w**2 - abs(dt) if self._ito else w**2
        u1 = drifted + g * w + slope * square / 2
        if step.estimated:
            with torch.no_grad():
                drift = 0.5 * dt * (rhs(drifted, t + dt) - k)
                # how far the change of g is from the one that the step has reckoned with
                diffusion = 0.5 * w * (self.g(rhs, u1, t + dt) - g - slope * w)
                step.estimate = drift.abs() + diffusion.abs()
        return u1
