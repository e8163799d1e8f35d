"""What every algorithm has in common: it is a choice, without behaviour."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal

Engine = Literal["julia", "embedded"]
"""The engines that carry out solves."""

JULIA: frozenset[Engine] = frozenset({"julia"})
EMBEDDED: frozenset[Engine] = frozenset({"embedded"})
BOTH = JULIA | EMBEDDED


class EquationKind(Enum):
    """The kinds of equations that there are problems and algorithms for."""

    ORDINARY = "ordinary"
    STOCHASTIC = "stochastic"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class AbstractAlgorithm:
    """Base of the algorithms.

    An algorithm is a frozen dataclass: it can be compared, hashed, pickled and printed, and says which engines have it,
    but not how they carry it out.

    Attributes:
        engines: the engines that have it.
        kind: the equations that it solves.
        order: classical order of convergence.
        is_stiff: whether the method is meant for stiff problems.
        is_adaptive: whether the method has an error estimate, so that the step size can be chosen for it.
        mass_matrix: whether problems with a mass matrix can be solved.
        contains_jacobian: whether a step contains the Jacobian of `f` itself, so that its derivative takes second ones.
        coarse_dense_output: whether the dense output is less accurate than the steps, which then end at the times of
            `saveat`.
        lazy_dense_output: whether Julia makes stages of the dense output when they are asked for.
    """

    engines: ClassVar[frozenset[Engine]] = frozenset()
    kind: ClassVar[EquationKind] = EquationKind.ORDINARY
    order: ClassVar[int]
    is_stiff: ClassVar[bool] = False
    is_adaptive: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = False
    contains_jacobian: ClassVar[bool] = False
    coarse_dense_output: ClassVar[bool] = False
    lazy_dense_output: ClassVar[bool] = False

    @property
    def methods(self) -> "tuple[AbstractAlgorithm, ...]":
        """The methods that it may use: itself, or those that it chooses between, an explicit one first."""
        return (self,)

    def __init_subclass__(cls) -> None:
        not_in_julia_unless_declared(cls)


def not_in_julia_unless_declared(cls: type[AbstractAlgorithm]) -> None:
    """Julia finds a method by the name of its class, so it has none but those that say so themselves."""
    if "engines" not in vars(cls):
        cls.engines = cls.engines - JULIA
