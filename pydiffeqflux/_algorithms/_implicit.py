"""Implicit and linearly implicit methods, for stiff problems."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import AbstractAlgorithm


@dataclass(frozen=True, slots=True)
class Rosenbrock23(AbstractAlgorithm):
    """Shampine's L-stable Rosenbrock method of MATLAB's ode23s. Order 2, for loose tolerances (above 1e-2).

    Dense output: order 2. Mass matrices, also singular ones; but the error estimate is coarse in the algebraic
    variables of a DAE, and the steps become very small there below tolerances of about 1e-2.

    References: Shampine, Reichelt 1997, *The MATLAB ODE suite*.
    """

    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Rodas4(AbstractAlgorithm):
    """L-stable, stiffly accurate Rosenbrock method. Order 4. Dense output: order 3.

    Mass matrices, also singular ones (index 1).

    References: Hairer, Wanner, *Solving ODEs II*, IV.7.
    """

    order: ClassVar[int] = 4
    is_stiff: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Rodas5P(AbstractAlgorithm):
    """L-stable, stiffly accurate Rosenbrock method. Order 5; the first choice for stiff problems of moderate size.

    Dense output: order 4. Mass matrices, also singular ones (index 1).

    References: Steinebach 2023, *Construction of Rosenbrock-Wanner method Rodas5P*, BIT 63, 27.
    """

    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RadauIIA5(AbstractAlgorithm):
    """The three-stage Radau IIA collocation method. Order 5; L-stable; for stiff problems at tight tolerances.

    The three stages are one system of 3N equations, so it suits small systems. The Jacobian and the factors are kept
    as long as Newton's iteration converges fast with them. Dense output: the collocation polynomial, order 3.

    References: Hairer, Wanner, *Solving ODEs II*, IV.8.
    """

    order: ClassVar[int] = 5
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class KenCarp4(AbstractAlgorithm):
    """Kennedy and Carpenter's ESDIRK 4(3), the implicit part of ARK4(3)6L[2]SA. Order 4; L-stable.

    Its Jacobian and its LU factors are kept as long as Newton's iteration converges with them, which makes it the
    choice where Jacobians are expensive. Dense output: cubic Hermite, less accurate than the steps in stiff components;
    steps therefore end at the times of `saveat`.

    References: Kennedy, Carpenter 2003, *Additive Runge-Kutta schemes for convection-diffusion-reaction equations*.
    """

    order: ClassVar[int] = 4
    is_stiff: ClassVar[bool] = True
