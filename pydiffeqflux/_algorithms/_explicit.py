"""Explicit Runge-Kutta methods, for problems that are not stiff."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import AbstractAlgorithm


@dataclass(frozen=True, slots=True)
class Euler(AbstractAlgorithm):
    """Explicit Euler. Order 1, fixed step: `solve` needs `dt`. Dense output: cubic Hermite."""

    order: ClassVar[int] = 1
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Midpoint(AbstractAlgorithm):
    """Explicit midpoint rule with an embedded Euler step. Order 2. Dense output: cubic Hermite."""

    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Heun(AbstractAlgorithm):
    """Heun's method (explicit trapezoid) with an embedded Euler step. Order 2. Dense output: cubic Hermite."""

    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class RK4(AbstractAlgorithm):
    """The classical Runge-Kutta method. Order 4, fixed step: `solve` needs `dt`. Dense output: cubic Hermite."""

    order: ClassVar[int] = 4
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class BS3(AbstractAlgorithm):
    """Bogacki-Shampine 3(2). Order 3. Dense output: cubic Hermite, free.

    References: Bogacki, Shampine 1989, *A 3(2) pair of Runge-Kutta formulas*.
    """

    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class DP5(AbstractAlgorithm):
    """Dormand-Prince 5(4), the method of MATLAB's ode45. Order 5. Dense output: order 4, free.

    References: Dormand, Prince 1980; Shampine 1986 for the dense output.
    """

    order: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Tsit5(AbstractAlgorithm):
    """Tsitouras 5(4), the method of choice for problems that are not stiff. Order 5. Dense output: order 4, free.

    References: Tsitouras 2011, *Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
    assumption*.
    """

    order: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Vern7(AbstractAlgorithm):
    """Verner's most efficient 7(6), for tolerances below about 1e-6. Order 7.

    Dense output: order 7, with six further evaluations of `f`, made only for the steps that are interpolated.

    References: Verner 2010, *Numerically optimal Runge-Kutta pairs with interpolants*.
    """

    order: ClassVar[int] = 7
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Ralston(AbstractAlgorithm):
    """Ralston's method, of least truncation error, with an embedded Euler step. Order 2. Engines: julia."""

    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class BS5(AbstractAlgorithm):
    """Bogacki-Shampine 5(4), with more careful error control than `DP5()`. Order 5.

    Engines: julia. References: Bogacki, Shampine 1996.
    """

    order: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Vern6(AbstractAlgorithm):
    """Verner's most efficient 6(5). Order 6.

    Engines: julia. References: Verner 2010.
    """

    order: ClassVar[int] = 6
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Vern8(AbstractAlgorithm):
    """Verner's most efficient 8(7). Order 8.

    Engines: julia. References: Verner 2010.
    """

    order: ClassVar[int] = 8
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Vern9(AbstractAlgorithm):
    """Verner's most efficient 9(8), for tolerances near round-off. Order 9.

    Engines: julia. References: Verner 2010.
    """

    order: ClassVar[int] = 9
    lazy_dense_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class DP8(AbstractAlgorithm):
    """Hairer's DOP853. Order 8. Dense output: order 7.

    Engines: julia. References: Hairer, Nørsett, Wanner, *Solving ODEs I*, II.5.
    """

    order: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class TsitPap8(AbstractAlgorithm):
    """Tsitouras and Papakostas 8(7). Order 8.

    Engines: julia. References: Tsitouras, Papakostas 1999.
    """

    order: ClassVar[int] = 8
    coarse_dense_output: ClassVar[bool] = True
