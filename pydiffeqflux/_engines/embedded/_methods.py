"""From algorithms to the methods that carry them out."""

from collections.abc import Callable
from functools import partial

from ... import _algorithms as algs
from ..tableaus import EXPLICIT, KENCARP4, ROSENBROCK, RosenbrockTableau
from ._esdirk import Esdirk
from ._explicit_rk import ExplicitRK
from ._norm import ErrorNorm
from ._radau import RadauIIA
from ._rosenbrock import Rosenbrock
from ._step import Method
from ._switching import Switching


def _rosenbrock(tableau: RosenbrockTableau, norm: ErrorNorm) -> Method:
    return Rosenbrock(tableau)


METHODS: dict[type[algs.AbstractAlgorithm], Callable[[ErrorNorm], Method]] = {
    **{alg: partial(ExplicitRK, tableau) for alg, tableau in EXPLICIT.items()},
    **{alg: partial(_rosenbrock, tableau) for alg, tableau in ROSENBROCK.items()},
    algs.KenCarp4: partial(Esdirk, KENCARP4),
    algs.RadauIIA5: RadauIIA,
}
"""The methods of this engine. One with a table of its own kind is a line in `tableaus`, others are a line here."""


def make_method(alg: algs.AbstractAlgorithm, norm: ErrorNorm) -> Method:
    """The method that carries out an algorithm; `alg` must be one of `METHODS` or a switch between two of them."""
    if isinstance(alg, algs.AutoAlgSwitch):
        nonstiff = make_method(alg.nonstiffalg, norm)
        assert isinstance(nonstiff, ExplicitRK)
        return Switching(alg, nonstiff, make_method(alg.stiffalg, norm))
    return METHODS[type(alg)](norm)
