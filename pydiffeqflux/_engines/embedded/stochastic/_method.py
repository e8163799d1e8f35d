"""What all stochastic methods have in common."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from ...._controllers import PIController
from ...._noise import BrownianPath, NoiseLayout
from ..._noise import smallest_step
from .._initial_step import initial_step
from .._norm import ErrorNorm
from .._protocols import Rhs, Time
from .._step import Method, Step


class StochasticRhs(Rhs, Protocol):
    """A right-hand side with a diffusion."""

    def diffusion(self, u: Tensor, t: Time) -> Tensor: ...


class StochasticMethod(Method):
    """A one-step method driven by a Brownian path.

    The stages of its steps, which a gradient is given again, begin with the increment that the path had there, and the
    area where the method needs it. Between the ends of steps the dense output is a straight line.

    Arguments:
        path: the noise.
        layout: how it enters.
        norm: the norm of the error estimate.

    Attributes:
        needs_area: whether steps need the space-time Lévy area as well.
    """

    order = 1
    error_order: Any
    stages_are_derivatives = False
    controller = PIController(qmin=0.2, qmax=1.125)
    needs_area: bool = False
    _dense = ((1.0,),)

    def __init__(self, path: BrownianPath, layout: NoiseLayout, norm: ErrorNorm) -> None:
        self._path, self._layout, self._norm = path, layout, norm
        self.smallest_step = smallest_step(path)

    # ---- what a method is

    @abstractmethod
    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        """The state at the end of a step.

        Arguments:
            rhs: drift and diffusion.
            u: the state at its start.
            t: its start.
            dt: its size.
            noise: the increment, spread against the state, and the area where the method needs it.
            step: takes an error estimate where it says `estimated`.
        """

    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Any) -> Step:
        return self._make(rhs, u, t, dt, self.draw(float(t), float(dt)), estimate=self._norm.steers and self.adaptive)

    def replay(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, ks: Sequence[Tensor]) -> Step:
        return self._make(rhs, u, t, dt, list(ks), estimate=False)

    def _make(self, rhs: Any, u: Tensor, t: Time, dt: Time, ks: list[Tensor], *, estimate: bool) -> Step:
        step = Step(self, t, dt, u, u, ks, estimated=estimate)
        noise = [self._layout.spread(w) for w in ks[: 1 + self.needs_area]]
        step.u1 = self.advance(rhs, u, t, dt, noise, step)
        return step

    # ---- what they are made of

    def draw(self, t: float, dt: float) -> list[Tensor]:
        """The noise of a step."""
        if self.needs_area:
            return list(self._path.increment_and_area(t, t + dt))
        return [self._path.increment(t, t + dt)]

    def g(self, rhs: StochasticRhs, u: Tensor, t: Time) -> Tensor:
        """The diffusion as a coefficient of spread increments."""
        return self._layout.coefficient(rhs.diffusion(u, t))

    def times(self, g: Tensor, w: Tensor) -> Tensor:
        """The product of a coefficient and spread increments."""
        return self._layout.product(g, w)

    # ---- what the integrator asks for

    def start(self, k1: Tensor) -> None:
        return None

    def error(self, step: Step, norm: ErrorNorm) -> float:
        assert step.estimate is not None
        return norm(step.estimate, step.u0, step.u1)

    def eigenvalue(self, step: Step) -> float:
        raise NotImplementedError("stochastic methods do not watch the stiffness of a problem")

    def dense_stages(self, rhs: Rhs, step: Step) -> list[Tensor]:
        return [step.u1 - step.u0]

    def round_step(self, t: float, dt: float) -> float:
        """A step that ends where the path costs less."""
        return self._path.near(t, dt) - t if self._norm.steers and self.adaptive else dt

    def first_step(
        self, rhs: Any, u: Tensor, t: float, k1: Tensor, direction: float, span: float, norm: ErrorNorm
    ) -> float:
        return initial_step(rhs, u, t, k1, direction, span, 0.5, norm, lambda x, time: self.g(rhs, x, time))


def root(dt: Time) -> Any:
    """The square root of the size of a step."""
    return dt.abs().sqrt() if isinstance(dt, Tensor) else math.sqrt(abs(dt))
