"""What every algorithm has in common: it is a choice, without behaviour."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class AbstractAlgorithm:
    """Base of the algorithms.

    An algorithm is a frozen dataclass: it can be compared, hashed, pickled and printed, and it knows nothing of the
    engines that carry it out.

    Attributes:
        order: classical order of convergence.
        is_stiff: whether the method is meant for stiff problems.
        is_adaptive: whether the method has an error estimate, so that the step size can be chosen for it.
        mass_matrix: whether problems with a mass matrix can be solved.
        contains_jacobian: whether a step contains the Jacobian of `f` itself, so that its derivative takes second ones.
        coarse_dense_output: whether the dense output is less accurate than the steps, which then end at the times of
            `saveat`.
        lazy_dense_output: whether Julia makes stages of the dense output when they are asked for.
    """

    order: ClassVar[int]
    is_stiff: ClassVar[bool] = False
    is_adaptive: ClassVar[bool] = True
    mass_matrix: ClassVar[bool] = False
    contains_jacobian: ClassVar[bool] = False
    coarse_dense_output: ClassVar[bool] = False
    lazy_dense_output: ClassVar[bool] = False
