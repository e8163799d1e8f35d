"""From algorithms to the stochastic methods that carry them out."""

from .... import _algorithms as algs
from ...._errors import UnsupportedError
from ...._noise import BrownianPath, NoiseLayout
from .._norm import ErrorNorm
from ._euler import EulerHeun, EulerMaruyama, Milstein
from ._implicit import ImplicitEulerMaruyama
from ._method import StochasticMethod
from ._reversible_heun import ReversibleHeun
from ._rossler import Rossler


def make_stochastic_method(
    alg: algs.AbstractAlgorithm, path: BrownianPath, layout: NoiseLayout, norm: ErrorNorm
) -> StochasticMethod:
    """The method that carries out an algorithm on a path.

    Raises:
        UnsupportedError: there is none, though the algorithm says so.
    """
    match alg:
        case algs.EM():
            return EulerMaruyama(path, layout, norm, split=alg.split, adaptive=False)
        case algs.LambaEM():
            return EulerMaruyama(path, layout, norm, split=alg.split, adaptive=True)
        case algs.EulerHeun():
            return EulerHeun(path, layout, norm)
        case algs.RKMil():
            return Milstein(path, layout, norm, ito=alg.interprets == "ito")
        case algs.AbstractRossler():
            return Rossler(path, layout, norm, tableau=alg.tableau)
        case algs.ImplicitEM():
            return ImplicitEulerMaruyama(path, layout, norm, theta=alg.theta)
        case algs.ReversibleHeun():
            return ReversibleHeun(path, layout, norm)
    raise UnsupportedError(f"the embedded engine has no steps for {alg!r}.")
