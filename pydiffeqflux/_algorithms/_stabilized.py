"""Stabilised explicit methods: for mildly stiff problems with real negative eigenvalues, such as diffusion."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import AbstractAlgorithm


@dataclass(frozen=True, slots=True)
class ROCK2(AbstractAlgorithm):
    """Orthogonal Runge-Kutta-Chebyshev method. Order 2; as many stages as the spectral radius asks for.

    Engines: julia. References: Abdulle, Medovikov 2001.
    """

    order: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class ROCK4(AbstractAlgorithm):
    """Orthogonal Runge-Kutta-Chebyshev method. Order 4; as many stages as the spectral radius asks for.

    Engines: julia. References: Abdulle 2002.
    """

    order: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class RKC(AbstractAlgorithm):
    """Runge-Kutta-Chebyshev method. Order 2; as many stages as the spectral radius asks for.

    Engines: julia. References: Sommeijer, Shampine, Verwer 1998.
    """

    order: ClassVar[int] = 2
