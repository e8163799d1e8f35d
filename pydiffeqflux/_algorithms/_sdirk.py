"""Singly diagonally implicit Runge-Kutta methods, for stiff problems: Newton's iteration stage by stage."""

from dataclasses import dataclass
from typing import ClassVar

from .. import _tableaus
from .._tableaus import EsdirkTableau
from ._base import BOTH, JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class AbstractESDIRK(AbstractAlgorithm):
    """Base of the methods with an explicit first stage that are given by their coefficients.

    Attributes:
        tableau: the coefficients.
    """

    tableau: ClassVar[EsdirkTableau]


@dataclass(frozen=True, slots=True)
class KenCarp4(AbstractESDIRK):
    """Kennedy and Carpenter's ESDIRK 4(3), the implicit part of ARK4(3)6L[2]SA. Order 4; L-stable.

    Its Jacobian and its LU factors are kept as long as Newton's iteration converges with them, which makes it the
    choice where Jacobians are expensive. Dense output: cubic Hermite, less accurate than the steps in stiff components;
    steps therefore end at the times of `saveat`.

    References: Kennedy, Carpenter 2003, *Additive Runge-Kutta schemes for convection-diffusion-reaction equations*.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[EsdirkTableau] = _tableaus.KENCARP4
    order: ClassVar[int] = 4
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ImplicitEuler(AbstractAlgorithm):
    """Backward Euler with an error estimate by divided differences. Order 1; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 1
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ImplicitMidpoint(AbstractAlgorithm):
    """The implicit midpoint rule; symplectic. Order 2; needs `dt`. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Trapezoid(AbstractAlgorithm):
    """The trapezoidal rule, for stiff problems without damping. Order 2; A-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class TRBDF2(AbstractAlgorithm):
    """A trapezoidal and a BDF2 stage. Order 2; L-stable; for loose tolerances and rough right-hand sides.

    Engines: julia. References: Hosea, Shampine 1996.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SDIRK2(AbstractAlgorithm):
    """Two stages. Order 2; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KenCarp3(AbstractAlgorithm):
    """Kennedy and Carpenter's ESDIRK 3(2). Order 3; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KenCarp5(AbstractAlgorithm):
    """Kennedy and Carpenter's ESDIRK 5(4), eight stages. Order 5; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KenCarp47(AbstractAlgorithm):
    """Kennedy and Carpenter's ESDIRK 4(3), seven stages. Order 4; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KenCarp58(AbstractAlgorithm):
    """Kennedy and Carpenter's ESDIRK 5(4) of 2019, eight stages. Order 5; L-stable. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Kvaerno3(AbstractAlgorithm):
    """Kværnø's ESDIRK 3(2), stiffly accurate. Order 3; L-stable.

    For an `f` that uses the time take `KenCarp3`: OrdinaryDiffEqSDIRK 2.7 has a wrong stage time here, so that
    its order is lower then, and its error far above the tolerance.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Kvaerno4(AbstractAlgorithm):
    """Kværnø's ESDIRK 4(3), stiffly accurate. Order 4; L-stable.

    For an `f` that uses the time take `KenCarp4`: OrdinaryDiffEqSDIRK 2.7 has a wrong stage time here, so that
    its order is lower then, and its error far above the tolerance.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Kvaerno5(AbstractAlgorithm):
    """Kværnø's ESDIRK 5(4), stiffly accurate. Order 5; L-stable.

    For an `f` that uses the time take `KenCarp5`: OrdinaryDiffEqSDIRK 2.7 has a wrong stage time here, so that
    its order is lower then, and its error far above the tolerance.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True
    coarse_dense_output: ClassVar[bool] = True
