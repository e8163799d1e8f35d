"""From algorithms to the methods that carry them out."""

from ... import _algorithms as algs
from ..._errors import UnsupportedError
from ._esdirk import Esdirk
from ._explicit_rk import ExplicitRK
from ._norm import ErrorNorm
from ._radau import RadauIIA
from ._rosenbrock import Rosenbrock
from ._step import Method
from ._switching import Switching


def make_method(alg: algs.AbstractAlgorithm, norm: ErrorNorm) -> Method:
    """The method that carries out an algorithm.

    One that is a table of a family below is made from its table; others have a line of their own here.

    Raises:
        UnsupportedError: there is none, though the algorithm says so.
    """
    match alg:
        case algs.AutoAlgSwitch():
            nonstiff = make_method(alg.nonstiffalg, norm)
            assert isinstance(nonstiff, ExplicitRK)
            return Switching(alg, nonstiff, make_method(alg.stiffalg, norm))
        case algs.AbstractExplicitRK():
            return ExplicitRK(alg.tableau, norm)
        case algs.AbstractRosenbrock() if alg.tableau is not None:
            return Rosenbrock(alg.tableau)
        case algs.AbstractESDIRK():
            return Esdirk(alg.tableau, norm)
        case algs.RadauIIA5():
            return RadauIIA(norm)
    raise UnsupportedError(f"the embedded engine has no steps for {alg!r}.")


def can_watch_stability(alg: algs.AbstractAlgorithm) -> bool:
    """Whether a switch can start from an algorithm: its stages tell how stiff the problem is."""
    return isinstance(alg, algs.AbstractExplicitRK) and alg.tableau.stability_size is not None
