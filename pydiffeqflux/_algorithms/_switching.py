"""Algorithms that watch for stiffness and change method by themselves."""

from dataclasses import dataclass, field
from typing import ClassVar

from ._base import BOTH, AbstractAlgorithm, Engine
from ._explicit import Tsit5, Vern6, Vern7, Vern8, Vern9
from ._rosenbrock import Rodas5P


@dataclass(frozen=True, slots=True)
class AutoAlgSwitch(AbstractAlgorithm):
    """Two methods, of which the one that suits the stiffness met so far is used.

    The explicit method's stages give an estimate of the largest eigenvalue; after `maxstiffstep` consecutive steps at
    the edge of its stability region the stiff method takes over, and after `maxnonstiffstep` consecutive steps in which
    the explicit one would be stable it takes back.

    Arguments:
        nonstiffalg: an explicit method with a stability size: `Tsit5()`, `DP5()` or `Vern7()`.
        stiffalg: a stiff method.
        maxstiffstep, maxnonstiffstep: consecutive verdicts before a switch.
        nonstifftol, stifftol: share of the stability region that counts as its edge.
        dtfac: the step is multiplied by this at the switch to the stiff method and divided at the switch back.

    Engines: both. References: Shampine 1977; Hairer, Wanner, *Solving ODEs II*, IV.2; OrdinaryDiffEq.jl's
    `AutoSwitch`.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True

    nonstiffalg: AbstractAlgorithm = field(default_factory=Tsit5)
    stiffalg: AbstractAlgorithm = field(default_factory=Rodas5P)
    maxstiffstep: int = 10
    maxnonstiffstep: int = 3
    nonstifftol: float = 0.9
    stifftol: float = 0.9
    dtfac: float = 2.0

    @property
    def methods(self) -> tuple[AbstractAlgorithm, ...]:
        return self.nonstiffalg, self.stiffalg


def contains_jacobian(alg: AbstractAlgorithm) -> bool:
    """Whether the steps of a method that an algorithm may use contain the Jacobian of `f`."""
    return any(part.contains_jacobian for part in alg.methods)


def has_coarse_dense_output(alg: AbstractAlgorithm) -> bool:
    """Whether the dense output of a method that an algorithm may use is less accurate than its steps."""
    return any(part.coarse_dense_output for part in alg.methods)


def AutoTsit5(stiffalg: AbstractAlgorithm) -> AutoAlgSwitch:  # noqa: N802 - Julia's name
    """`Tsit5()` that switches to `stiffalg` where the problem is stiff.

    >>> from pydiffeqflux import AutoTsit5, Rosenbrock23
    >>> AutoTsit5(Rosenbrock23()).stiffalg
    Rosenbrock23()
    """
    return AutoAlgSwitch(Tsit5(), stiffalg)


def AutoVern7(stiffalg: AbstractAlgorithm) -> AutoAlgSwitch:  # noqa: N802 - Julia's name
    """`Vern7()` that switches to `stiffalg` where the problem is stiff."""
    return AutoAlgSwitch(Vern7(), stiffalg)


def AutoVern6(stiffalg: AbstractAlgorithm) -> AutoAlgSwitch:  # noqa: N802 - Julia's name
    """`Vern6()` that switches to `stiffalg` where the problem is stiff. Engines: julia."""
    return AutoAlgSwitch(Vern6(), stiffalg)


def AutoVern8(stiffalg: AbstractAlgorithm) -> AutoAlgSwitch:  # noqa: N802 - Julia's name
    """`Vern8()` that switches to `stiffalg` where the problem is stiff. Engines: julia."""
    return AutoAlgSwitch(Vern8(), stiffalg)


def AutoVern9(stiffalg: AbstractAlgorithm) -> AutoAlgSwitch:  # noqa: N802 - Julia's name
    """`Vern9()` that switches to `stiffalg` where the problem is stiff. Engines: julia."""
    return AutoAlgSwitch(Vern9(), stiffalg)
