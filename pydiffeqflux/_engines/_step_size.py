"""Whether a solve controls its step size."""

from .._algorithms import AbstractStochasticAlgorithm
from .._errors import InvalidOptionError
from ._base import SolveSpec


def is_adaptive(spec: SolveSpec) -> bool:
    """Whether the step size of a solve follows the error estimate.

    Raises:
        InvalidOptionError: it does not, and none is given.
    """
    adaptive = spec.options.adaptive and spec.alg.is_adaptive
    if not adaptive and spec.options.dt is None:
        reason = "adaptive=False" if spec.alg.is_adaptive else f"{spec.alg!r} has no error estimate, so it"
        other = "LambaEM() or SOSRI()" if isinstance(spec.alg, AbstractStochasticAlgorithm) else "Tsit5()"
        raise InvalidOptionError(f"{reason} needs a step size: pass dt=..., or use an adaptive algorithm ({other}).")
    return adaptive
