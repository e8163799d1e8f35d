"""Stabilised explicit methods: for mildly stiff problems with real negative eigenvalues, such as diffusion."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class ROCK2(AbstractAlgorithm):
    """Orthogonal Runge-Kutta-Chebyshev method. Order 2; as many stages as the spectral radius asks for.

    Engines: julia. References: Abdulle, Medovikov 2001.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class ROCK4(AbstractAlgorithm):
    """Orthogonal Runge-Kutta-Chebyshev method. Order 4; as many stages as the spectral radius asks for.

    Engines: julia. References: Abdulle 2002.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class RKC(AbstractAlgorithm):
    """Runge-Kutta-Chebyshev method. Order 2; as many stages as the spectral radius asks for.

    Engines: julia. References: Sommeijer, Shampine, Verwer 1998.
    """

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
