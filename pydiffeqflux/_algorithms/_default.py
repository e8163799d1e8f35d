"""The algorithm for users who do not want to choose one."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import BOTH, AbstractAlgorithm, Engine
from ._explicit import Tsit5, Vern7
from ._rosenbrock import Rodas5P, Rosenbrock23
from ._switching import AutoAlgSwitch

MEDIUM_TOLERANCE = 1e-2
LOW_TOLERANCE = 1e-6
SMALL_SYSTEM = 50


@dataclass(frozen=True, slots=True)
class DefaultODEAlgorithm(AbstractAlgorithm):
    """What `alg=None` means: an [`AutoAlgSwitch`][] chosen by the tolerance and the size of the problem.

    | | method |
    |---|---|
    | not stiff, reltol ≥ 1e-6 | `Tsit5()` |
    | not stiff, reltol < 1e-6 | `Vern7()` |
    | stiff, reltol > 1e-2 | `Rosenbrock23()` |
    | stiff, at most 50 states | `Rodas5P()` |
    | stiff, more than 50 states | `FBDF()` (julia), `KenCarp4()` (embedded) |

    The thresholds are those of OrdinaryDiffEqDefault.jl. A problem with a mass matrix is solved by the stiff method
    alone.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = True
    contains_jacobian: ClassVar[bool] = True


def choose_default(n: int, reltol: float, *, mass_matrix: bool, large: AbstractAlgorithm) -> AbstractAlgorithm:
    """What `DefaultODEAlgorithm()` means for N states at this tolerance; `large` is the engine's for large systems."""
    if reltol > MEDIUM_TOLERANCE:
        stiff: AbstractAlgorithm = Rosenbrock23()
    elif n <= SMALL_SYSTEM or mass_matrix:
        stiff = Rodas5P()
    else:
        stiff = large
    if mass_matrix:
        return stiff
    return AutoAlgSwitch(Vern7() if reltol < LOW_TOLERANCE else Tsit5(), stiff)
