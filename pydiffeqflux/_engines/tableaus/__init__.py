"""Coefficients of methods, and which algorithm has which. Data only; both engines read it."""

from ... import _algorithms as algs
from . import _explicit, _rosenbrock
from ._esdirk import KENCARP4, EsdirkTableau
from ._explicit import ButcherTableau, Row, hermite
from ._rosenbrock import RosenbrockTableau

EXPLICIT: dict[type[algs.AbstractAlgorithm], ButcherTableau] = {
    algs.Euler: _explicit.EULER,
    algs.Midpoint: _explicit.MIDPOINT,
    algs.Heun: _explicit.HEUN,
    algs.RK4: _explicit.RK4,
    algs.BS3: _explicit.BS3,
    algs.DP5: _explicit.DP5,
    algs.Tsit5: _explicit.TSIT5,
    algs.Vern7: _explicit.VERN7,
}

ROSENBROCK: dict[type[algs.AbstractAlgorithm], RosenbrockTableau] = {
    algs.Rosenbrock23: _rosenbrock.ROSENBROCK23,
    algs.Rodas4: _rosenbrock.RODAS4,
    algs.Rodas5P: _rosenbrock.RODAS5P,
}

__all__ = [
    "EXPLICIT",
    "KENCARP4",
    "ROSENBROCK",
    "ButcherTableau",
    "EsdirkTableau",
    "RosenbrockTableau",
    "Row",
    "hermite",
]
