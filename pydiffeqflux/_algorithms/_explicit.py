"""Explicit Runge-Kutta methods, for problems that are not stiff."""

from dataclasses import dataclass
from typing import ClassVar

from .. import _tableaus
from .._errors import InvalidOptionError
from .._tableaus import ExplicitTableau
from ._base import BOTH, EMBEDDED, JULIA, AbstractAlgorithm, Engine, not_in_julia_unless_declared


@dataclass(frozen=True, slots=True)
class AbstractExplicitRK(AbstractAlgorithm):
    """Base of the explicit Runge-Kutta methods that are given by their coefficients.

    A class of yours with a `tableau` is a method of the embedded engine, with error control, dense output and all
    gradients; its order and whether its steps adapt are those of the table.

    Attributes:
        tableau: the coefficients.

    Raises:
        InvalidOptionError: the class has no `tableau`.

    Engines: embedded.

    >>> class Ralston3(AbstractExplicitRK):
    ...     tableau = ExplicitTableau(order=3, c=[0, 1/2, 3/4], a=[[], [1/2], [0, 3/4]], b=[2/9, 1/3, 4/9])
    >>> Ralston3.order, Ralston3.is_adaptive
    (3, False)
    """

    engines: ClassVar[frozenset[Engine]] = EMBEDDED
    tableau: ClassVar[ExplicitTableau]

    def __init_subclass__(cls) -> None:
        not_in_julia_unless_declared(cls)  # super() would mean the class before it got slots
        table = vars(cls).get("tableau")
        if isinstance(table, ExplicitTableau):
            cls.order, cls.is_adaptive = table.order, table.btilde is not None
            cls.coarse_dense_output = len(table.dense[0]) + 1 < table.order

    def __post_init__(self) -> None:
        table = getattr(type(self), "tableau", None)
        if not isinstance(table, ExplicitTableau):
            raise InvalidOptionError(
                f"{type(self).__name__} has no coefficients: write `tableau = ExplicitTableau(...)` in it, as a class "
                "variable."
            )


@dataclass(frozen=True, slots=True)
class Euler(AbstractExplicitRK):
    """Explicit Euler. Order 1, fixed step: `solve` needs `dt`. Dense output: cubic Hermite."""

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.EULER


@dataclass(frozen=True, slots=True)
class Midpoint(AbstractExplicitRK):
    """Explicit midpoint rule with an embedded Euler step. Order 2. Dense output: cubic Hermite."""

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.MIDPOINT


@dataclass(frozen=True, slots=True)
class Heun(AbstractExplicitRK):
    """Heun's method (explicit trapezoid) with an embedded Euler step. Order 2. Dense output: cubic Hermite."""

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.HEUN


@dataclass(frozen=True, slots=True)
class RK4(AbstractExplicitRK):
    """The classical Runge-Kutta method. Order 4, fixed step: `solve` needs `dt`. Dense output: cubic Hermite."""

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.RK4


@dataclass(frozen=True, slots=True)
class BS3(AbstractExplicitRK):
    """Bogacki-Shampine 3(2). Order 3. Dense output: cubic Hermite, free.

    References: Bogacki, Shampine 1989, *A 3(2) pair of Runge-Kutta formulas*.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.BS3


@dataclass(frozen=True, slots=True)
class DP5(AbstractExplicitRK):
    """Dormand-Prince 5(4), the method of MATLAB's ode45. Order 5. Dense output: order 4, free.

    References: Dormand, Prince 1980; Shampine 1986 for the dense output.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.DP5


@dataclass(frozen=True, slots=True)
class Tsit5(AbstractExplicitRK):
    """Tsitouras 5(4), the method of choice for problems that are not stiff. Order 5. Dense output: order 4, free.

    References: Tsitouras 2011, *Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
    assumption*.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.TSIT5


@dataclass(frozen=True, slots=True)
class Vern7(AbstractExplicitRK):
    """Verner's most efficient 7(6), for tolerances below about 1e-6. Order 7.

    Dense output: order 7, with six further evaluations of `f`, made only for the steps that are interpolated.

    References: Verner 2010, *Numerically optimal Runge-Kutta pairs with interpolants*.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[ExplicitTableau] = _tableaus.VERN7
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Ralston(AbstractAlgorithm):
    """Ralston's method, of least truncation error, with an embedded Euler step. Order 2. Engines: julia."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class BS5(AbstractAlgorithm):
    """Bogacki-Shampine 5(4), with more careful error control than `DP5()`. Order 5.

    Engines: julia. References: Bogacki, Shampine 1996.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Vern6(AbstractAlgorithm):
    """Verner's most efficient 6(5). Order 6.

    Engines: julia. References: Verner 2010.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 6
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Vern8(AbstractAlgorithm):
    """Verner's most efficient 8(7). Order 8.

    Engines: julia. References: Verner 2010.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 8
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Vern9(AbstractAlgorithm):
    """Verner's most efficient 9(8), for tolerances near round-off. Order 9.

    Engines: julia. References: Verner 2010.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 9
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class DP8(AbstractAlgorithm):
    """Hairer's DOP853. Order 8. Dense output: order 7.

    Engines: julia. References: Hairer, Nørsett, Wanner, *Solving ODEs I*, II.5.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class TsitPap8(AbstractAlgorithm):
    """Tsitouras and Papakostas 8(7). Order 8.

    Engines: julia. References: Tsitouras, Papakostas 1999.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 8
    coarse_dense_output: ClassVar[bool] = True
