"""Whether an algorithm is made for the noise of a solve."""

from .._algorithms import AbstractStochasticAlgorithm
from .._errors import UnsupportedError
from ._base import SolveSpec


def check_noise(spec: SolveSpec) -> None:
    """Refuse an algorithm that would not solve the equation with this noise.

    Raises:
        UnsupportedError: with the reason and what to use instead.
    """
    diffusion, alg = spec.rhs.diffusion, spec.alg
    if diffusion is None or not isinstance(alg, AbstractStochasticAlgorithm):
        return
    reason = alg.refuse(diffusion.layout, diffusion.depends_on_state if alg.additive else None)
    if reason:
        raise UnsupportedError(reason)
