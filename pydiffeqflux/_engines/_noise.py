"""Whether an algorithm and its steps are made for the noise of a solve."""

from .._algorithms import AbstractStochasticAlgorithm
from .._errors import InvalidOptionError, UnsupportedError
from .._noise import BrownianPath
from ._base import SolveSpec

_MARGIN = 64
"""Steps are at least so many times longer than the times that the path can tell apart."""


def smallest_step(path: BrownianPath) -> float:
    """The smallest step whose increments are those of a Brownian motion."""
    return _MARGIN * path.resolution


def check_noise(spec: SolveSpec) -> None:
    """Refuse an algorithm that would not solve the equation with this noise, and steps that it does not resolve.

    Raises:
        UnsupportedError: the algorithm is not made for the noise; the message says which is.
        InvalidOptionError: steps are so small that the noise does not tell their ends apart.
    """
    diffusion, alg, dt = spec.rhs.diffusion, spec.alg, spec.options.dt
    if diffusion is None:
        return
    assert spec.noise is not None
    if isinstance(alg, AbstractStochasticAlgorithm):
        reason = alg.refuse(diffusion.layout, diffusion.depends_on_state if alg.additive else None)
        if reason:
            raise UnsupportedError(reason)
    if dt is not None and dt < smallest_step(spec.noise):
        raise InvalidOptionError(
            f"dt is {dt}, but noise tells times apart to {spec.noise.resolution:.2g} only; make it with dt={dt}."
        )
