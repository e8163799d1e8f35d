"""Fully implicit Runge-Kutta methods, for stiff problems at tight tolerances: all stages in one system."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import BOTH, JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class RadauIIA5(AbstractAlgorithm):
    """The three-stage Radau IIA collocation method. Order 5; L-stable; for stiff problems at tight tolerances.

    The three stages are one system of 3N equations, so it suits small systems. The Jacobian and the factors are kept
    as long as Newton's iteration converges fast with them. Dense output: the collocation polynomial, order 3.

    References: Hairer, Wanner, *Solving ODEs II*, IV.8.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RadauIIA3(AbstractAlgorithm):
    """Two-stage Radau IIA collocation. Order 3; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RadauIIA9(AbstractAlgorithm):
    """Five-stage Radau IIA collocation, for very tight tolerances. Order 9; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 9
    is_stiff: ClassVar[bool] = True
