"""How an engine computes the gradients of one sensealg: what the engines' strategies have in common."""

from abc import ABC
from collections.abc import Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from .._algorithms import AbstractAlgorithm
from .._errors import GradientError, UnsupportedError
from .._sensealgs import AbstractSensealg
from ._base import SolveSpec

S = TypeVar("S", bound=AbstractSensealg)
V = TypeVar("V")


class Kept(Enum):
    """What of a forward solve is kept for its gradient, beside the states that the user saves."""

    NOTHING = "nothing"
    ENDS = "the states at both ends"
    CHECKPOINTS = "so much that the steps can be made again, piece by piece"
    STEPS = "every step"


class AbstractStrategy(ABC, Generic[S]):
    """What one engine does for one sensealg.

    Arguments:
        sensealg: the choice, with its options.

    Attributes:
        keep: what of the forward solve is kept for the gradient.
        repeats_draws: whether the gradient is that of the random numbers that `f` drew in the solve.
    """

    keep: Kept = Kept.NOTHING
    repeats_draws: bool = False

    def __init__(self, sensealg: S) -> None:
        self.sensealg = sensealg

    def kept(self, alg: AbstractAlgorithm) -> Kept:
        """What is kept of a solve by an algorithm."""
        return self.keep

    def refuse(self, alg: AbstractAlgorithm, *, mass_matrix: bool) -> str:
        """Why this cannot be done, as a sentence with what to use instead; empty where it can."""
        return ""


def check_randomness(spec: SolveSpec, strategy: AbstractStrategy[Any]) -> None:
    """Refuse gradients that would be those of other random numbers than the solve drew.

    Raises:
        GradientError: with what to do instead.
    """
    if spec.sensealg is not None and spec.rhs.varies and not strategy.repeats_draws:
        raise GradientError(
            f"f returns something else each time, since it draws random numbers or writes to what it reads, so "
            f"{spec.sensealg!r} would differentiate another function; use ReverseDiffAdjoint() on the embedded engine, "
            "or call eval() on the model."
        )


def look_up(engine: str, table: Mapping[type[AbstractSensealg], V], sensealg: AbstractSensealg) -> V:
    """The entry of a sensealg in the table of an engine.

    Raises:
        UnsupportedError: there is none; the message lists those that there are.
    """
    found = table.get(type(sensealg))
    if found is None:
        known = ", ".join(f"{cls.__name__}()" for cls in table)
        raise UnsupportedError(f"the {engine} engine has no {sensealg!r}; it has {known}.")
    return found
