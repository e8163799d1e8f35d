"""The reversible Heun method."""

from collections.abc import Sequence

from torch import Tensor

from .._protocols import Time
from .._step import Step
from ._method import StochasticMethod, StochasticRhs


class ReversibleHeun(StochasticMethod):
    """The reversible Heun method: a second state z runs along with y, and both can be run backwards.

        z₁ = 2 y₀ - z₀ + f(z₀) h + g(z₀) W,    y₁ = y₀ + (f(z₀) + f(z₁)) h/2 + (g(z₀) + g(z₁)) W/2

    Attributes:
        z: the second state at the end of the latest step.
    """

    error_order = 0.0
    adaptive = False

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # pyright: ignore[reportArgumentType]
        self.z: Tensor | None = None
        self._last: tuple[Tensor, Tensor] | None = None

    def advance(self, rhs: StochasticRhs, u: Tensor, t: Time, dt: Time, noise: Sequence[Tensor], step: Step) -> Tensor:
        (w,) = noise
        z0 = u if self.z is None else self.z
        f0, g0 = (rhs(z0, t), self.g(rhs, z0, t)) if self._last is None else self._last
        z1 = 2.0 * u - z0 + f0 * dt + self.times(g0, w)
        f1, g1 = rhs(z1, t + dt), self.g(rhs, z1, t + dt)
        self.z, self._last = z1, (f1, g1)
        return u + (f0 + f1) * (dt / 2) + self.times(g0 + g1, w) / 2
