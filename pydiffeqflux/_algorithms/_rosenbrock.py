"""Rosenbrock methods: linearly implicit, one Jacobian and one factorisation a step, no Newton iteration."""

from dataclasses import dataclass
from typing import ClassVar

from .. import _tableaus
from .._tableaus import RosenbrockTableau
from ._base import BOTH, JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class AbstractRosenbrock(AbstractAlgorithm):
    """Base of the Rosenbrock methods. They need an exact Jacobian and the time derivative of `f`.

    Attributes:
        tableau: the coefficients, `None` where only Julia has them.
    """

    is_stiff: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = True
    contains_jacobian: ClassVar[bool] = True
    tableau: ClassVar[RosenbrockTableau | None] = None


@dataclass(frozen=True, slots=True)
class Rosenbrock23(AbstractRosenbrock):
    """Shampine's L-stable Rosenbrock method of MATLAB's ode23s. Order 2, for loose tolerances (above 1e-2).

    Dense output: order 2. Mass matrices, also singular ones; but the error estimate is coarse in the algebraic
    variables of a DAE, and the steps become very small there below tolerances of about 1e-2. On the julia engine the
    error estimate is one order low wherever f depends on time (OrdinaryDiffEq.jl adds h ∂f/∂t to the third stage, where
    the reference has d h ∂f/∂t), and the steps are far smaller than they need be at tight tolerances.

    References: Shampine, Reichelt 1997, *The MATLAB ODE suite*.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[RosenbrockTableau | None] = _tableaus.ROSENBROCK23
    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Rodas4(AbstractRosenbrock):
    """L-stable, stiffly accurate Rosenbrock method. Order 4. Dense output: order 3.

    Mass matrices, also singular ones (index 1).

    References: Hairer, Wanner, *Solving ODEs II*, IV.7.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[RosenbrockTableau | None] = _tableaus.RODAS4
    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Rodas5P(AbstractRosenbrock):
    """L-stable, stiffly accurate Rosenbrock method. Order 5; the first choice for stiff problems of moderate size.

    Dense output: order 4. Mass matrices, also singular ones (index 1).

    References: Steinebach 2023, *Construction of Rosenbrock-Wanner method Rodas5P*, BIT 63, 27.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[RosenbrockTableau | None] = _tableaus.RODAS5P
    order: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Rosenbrock32(AbstractRosenbrock):
    """Shampine's pair run with the order-3 method, for mildly stiff problems. Order 3.

    For an `f` that uses the time take `Rodas3`: OrdinaryDiffEqRosenbrock 2.4 has order 1 only there, and errors far
    above the tolerance.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class ROS3P(AbstractRosenbrock):
    """L-stable method for parabolic problems. Order 3.

    References: Lang, Verwer 2001.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Rodas3(AbstractRosenbrock):
    """L-stable, stiffly accurate. Order 3.

    References: Sandu et al. 1997.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Rodas3P(AbstractRosenbrock):
    """`Rodas3` without order reduction on parabolic problems, with an error estimate of the interpolant. Order 3.

    References: Steinebach, Rodas23W and Rodas3P.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Rodas42(AbstractRosenbrock):
    """L-stable, stiffly accurate. Order 4.

    References: Hairer, Wanner, *Solving ODEs II*, IV.7.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Rodas4P(AbstractRosenbrock):
    """L-stable; keeps its order on parabolic problems. Order 4.

    References: Steinebach 1995.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Rodas4P2(AbstractRosenbrock):
    """`Rodas4P` for inexact Jacobians. Order 4.

    References: Steinebach 2020.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Rodas5(AbstractRosenbrock):
    """L-stable, stiffly accurate. Order 5.

    References: Di Marzo 1993.

    Engines: julia.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 5
