"""From algorithms to the methods that carry them out."""

from collections.abc import Callable

from ... import _algorithms as algs
from . import _esdirk_tableaus, _rosenbrock_tableaus, _tableaus
from ._esdirk import Esdirk
from ._explicit_rk import ExplicitRK
from ._norm import ErrorNorm
from ._radau import RadauIIA
from ._rosenbrock import Rosenbrock
from ._step import Method
from ._switching import Switching

METHODS: dict[type[algs.AbstractAlgorithm], Callable[[ErrorNorm], Method]] = {
    algs.Euler: lambda norm: ExplicitRK(_tableaus.EULER, norm),
    algs.Midpoint: lambda norm: ExplicitRK(_tableaus.MIDPOINT, norm),
    algs.Heun: lambda norm: ExplicitRK(_tableaus.HEUN, norm),
    algs.RK4: lambda norm: ExplicitRK(_tableaus.RK4, norm),
    algs.BS3: lambda norm: ExplicitRK(_tableaus.BS3, norm),
    algs.DP5: lambda norm: ExplicitRK(_tableaus.DP5, norm),
    algs.Tsit5: lambda norm: ExplicitRK(_tableaus.TSIT5, norm),
    algs.Vern7: lambda norm: ExplicitRK(_tableaus.VERN7, norm),
    algs.Rosenbrock23: lambda norm: Rosenbrock(_rosenbrock_tableaus.ROSENBROCK23),
    algs.Rodas4: lambda norm: Rosenbrock(_rosenbrock_tableaus.RODAS4),
    algs.Rodas5P: lambda norm: Rosenbrock(_rosenbrock_tableaus.RODAS5P),
    algs.KenCarp4: lambda norm: Esdirk(_esdirk_tableaus.KENCARP4, norm),
    algs.RadauIIA5: RadauIIA,
}
"""The methods of this engine. A new one is a tableau, an algorithm class and a line here."""


def make_method(alg: algs.AbstractAlgorithm, norm: ErrorNorm) -> Method:
    """The method that carries out an algorithm; `alg` must be one of `METHODS` or a switch between two of them."""
    if isinstance(alg, algs.AutoAlgSwitch):
        nonstiff = make_method(alg.nonstiffalg, norm)
        assert isinstance(nonstiff, ExplicitRK)
        return Switching(alg, nonstiff, make_method(alg.stiffalg, norm))
    return METHODS[type(alg)](norm)
