"""Strong stability preserving Runge-Kutta methods, for hyperbolic equations with limiters. Steps are given by `dt`."""

from dataclasses import dataclass
from typing import ClassVar

from ._base import JULIA, AbstractAlgorithm, Engine


@dataclass(frozen=True, slots=True)
class SSPRK22(AbstractAlgorithm):
    """Two stages, order 2; needs `dt`. Engines: julia. References: Shu, Osher 1988."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 2
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SSPRK33(AbstractAlgorithm):
    """Three stages, order 3; needs `dt`. Engines: julia. References: Shu, Osher 1988."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SSPRK43(AbstractAlgorithm):
    """Four stages, order 3, with an error estimate. Engines: julia. References: Kraaijevanger 1991."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class SSPRK432(AbstractAlgorithm):
    """Four stages, order 3, with an error estimate. Engines: julia. References: Fekete, Conde, Shadid 2022."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class SSPRK53(AbstractAlgorithm):
    """Five stages, order 3; needs `dt`. Engines: julia. References: Ruuth 2006."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 3
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SSPRK54(AbstractAlgorithm):
    """Five stages, order 4; needs `dt`. Engines: julia. References: Ruuth 2006."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4
    is_adaptive: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SSPRK104(AbstractAlgorithm):
    """Ten stages, order 4; needs `dt`. Engines: julia. References: Ketcheson 2008."""

    engines: ClassVar[frozenset[Engine]] = JULIA
    order: ClassVar[int] = 4
    is_adaptive: ClassVar[bool] = False
