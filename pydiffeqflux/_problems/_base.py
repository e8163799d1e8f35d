"""What problems of every kind have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from .._algorithms import EquationKind
from .._errors import InvalidOptionError
from .._functions import RightHandSide
from .._julia_source import JuliaSource
from .._noise import BrownianPath
from .._options import SolveOptions


@dataclass(frozen=True, eq=False)
class AbstractProblem(ABC):
    """Base of the problems: an equation, its functions, and where to start.

    A kind of equation is known to the rest of the package by what is declared here: its functions, and what the engines
    evaluate for it.

    Attributes:
        u0: initial state.
        tspan: start and end time.
        p: parameters, a nesting of tensors.
        tspan_tensors: start and end time as they were given, where these were tensors that require a gradient.
        numpy_output: whether solutions are handed out as arrays.
        arguments: the names of what `remake` can replace.
        kind: the kind of equation.
    """

    u0: Tensor
    tspan: tuple[float, float]
    p: Any
    tspan_tensors: tuple[Tensor | None, Tensor | None]
    numpy_output: bool
    arguments: ClassVar[tuple[str, ...]]
    kind: ClassVar[EquationKind] = EquationKind.ORDINARY

    @property
    @abstractmethod
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The user's functions, by their names in the equation."""

    @property
    @abstractmethod
    def needs_mass_matrix(self) -> bool:
        """Whether the derivative of the state is multiplied by a matrix."""

    @property
    def is_julia_source(self) -> bool:
        """Whether some of the functions are Julia code."""
        return any(isinstance(function, JuliaSource) for function in self.functions.values())

    def path(
        self, rhs: RightHandSide, seed: int | None, dt: float | None, options: SolveOptions
    ) -> BrownianPath | None:
        """The noise of one solve, `None` for equations without.

        Arguments:
            rhs: what was prepared.
            seed: the option of `solve`.
            dt: a step size that is known to be fixed.
            options: those of the solve.

        Raises:
            InvalidOptionError: there is a seed, but no noise.
        """
        if seed is not None:
            raise InvalidOptionError(
                f"seed is for problems with noise, which a {type(self).__name__} is not; leave it out."
            )
        return None

    @abstractmethod
    def prepare(self, *, traced: bool = False) -> RightHandSide:
        """What an engine evaluates.

        Arguments:
            traced: whether the functions are wanted as graphs, also where no gradient is.
        """
