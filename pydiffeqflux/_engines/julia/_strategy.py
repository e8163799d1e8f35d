"""How the julia engine computes gradients: what its strategies have in common."""

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any

from ... import _algorithms as algs
from ..._errors import UnsupportedError
from ..._functions import RightHandSide
from .._base import SolveSpec
from .._strategy import AbstractStrategy, S
from ._callbacks import Products
from ._choices import Choices


@dataclass(frozen=True, slots=True)
class Pullback:
    """What computes a gradient in Julia.

    Attributes:
        sensealg: handle of the method.
        alg: handle of the algorithm, for methods that solve once more.
    """

    sensealg: int
    alg: int


class Strategy(AbstractStrategy[S]):
    """What the julia engine does for one sensealg.

    Arguments:
        sensealg: the choice, with its options.
        julia_source: whether the right-hand side is Julia code, and not a torch function.
    """

    def __init__(self, sensealg: S, *, julia_source: bool) -> None:
        super().__init__(sensealg)
        self.julia_source = julia_source

    def refuse_solve(self, spec: SolveSpec) -> str:
        """As `refuse`, for what is only known of one solve."""
        return self.refuse(spec.alg, mass_matrix=spec.rhs.mass_matrix is not None)

    def check(self, spec: SolveSpec) -> None:
        """Refuse what would fail or be wrong.

        Raises:
            UnsupportedError: with the reason and what to use instead.
            GradientError: a gradient is asked for that the method does not have.
        """
        reason = self.refuse_solve(spec)
        if reason:
            raise UnsupportedError(reason)

    def algorithm(self, alg: algs.AbstractAlgorithm) -> algs.AbstractAlgorithm:
        """The algorithm of the forward solve."""
        return alg

    def products(self, alg: algs.AbstractAlgorithm) -> Products:
        """The vector-Jacobian products of a torch function that it asks for."""
        return Products.NONE

    def brings_vjp(self, rhs: RightHandSide) -> bool:
        """Whether Julia code brings products of its own, by forward mode."""
        return False

    @abstractmethod
    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        """What computes the gradient of a solve by the algorithm of that handle.

        With `has_vjp` the right-hand side brings its own vector-Jacobian products.
        """

    def options(self) -> dict[str, Any]:
        """The options of the sensealg for its constructor in Julia, but for the choice of products."""
        chosen = {option.name: getattr(self.sensealg, option.name) for option in fields(self.sensealg)}
        return {name: value for name, value in chosen.items() if name != "autojacvec" and value is not None}


class WithoutGradient(Strategy[Any]):
    """A solve without a sensealg."""

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        raise AssertionError("this solution was computed without a sensealg")


def eager(alg: algs.AbstractAlgorithm) -> algs.AbstractAlgorithm:
    """An algorithm with the stages of its dense output made in the solve.

    With Verner's lazy stages SciMLSensitivity 7.112 returns gradients that are wrong in the third digit where it solves
    again from checkpoints.
    """
    if isinstance(alg, algs.AutoAlgSwitch):
        return replace(alg, nonstiffalg=eager(alg.nonstiffalg), stiffalg=eager(alg.stiffalg))
    return algs.JuliaAlgorithm(type(alg).__name__, lazy=False) if alg.lazy_dense_output else alg
