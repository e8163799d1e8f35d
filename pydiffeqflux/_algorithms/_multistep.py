"""Multistep methods, which reuse the derivatives of past steps."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class VCABM(AbstractAlgorithm):
    """Adams-Bashforth-Moulton with variable order (up to 12) and variable steps, for smooth problems with expensive f.

    Engines: julia. References: Hairer, Nørsett, Wanner, *Solving ODEs I*, III.5.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class QNDF(AbstractAlgorithm):
    """Quasi-constant step NDF of orders 1 to 5, as MATLAB's ode15s; for large stiff problems.

    Engines: julia. References: Shampine, Reichelt 1997, *The MATLAB ODE suite*.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 1
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class FBDF(AbstractAlgorithm):
    """Fixed-leading-coefficient BDF of orders 1 to 5, as CVODE's; the first choice for large stiff problems.

    Engines: julia. References: Shampine 2002, *Solving 0 = F(t, y(t), y'(t)) in MATLAB*.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 1
    is_stiff: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ABDF2(AbstractAlgorithm):
    """BDF of fixed order 2 with variable steps. L-stable.

    Engines: julia. References: Celaya, Aguirrezabala, Chatzipantelidis 2014.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_stiff: ClassVar[bool] = True
