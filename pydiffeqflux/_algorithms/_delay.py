"""The method of steps for delay equations, after DelayDiffEq.jl."""

from dataclasses import dataclass, field
from typing import ClassVar

from .._errors import InvalidOptionError
from ._base import EMBEDDED, AbstractAlgorithm, Engine, EquationKind
from ._default import DefaultODEAlgorithm
from ._switching import contains_jacobian, has_coarse_dense_output


@dataclass(frozen=True, slots=True)
class MethodOfSteps(AbstractAlgorithm):
    """A method for ordinary equations on a delay equation, whose past it reads from its own dense output.

    Steps end where a discontinuity of the past reaches the present, as long as its order matters to the method. Where a
    step is longer than a delay it asks for states within itself, and is repeated until these have settled.

    Arguments:
        alg: the method of the steps, with a dense output that is as accurate as they are.
        constrained: whether steps are never longer than the shortest of the constant lags, so that none is repeated.

    Raises:
        InvalidOptionError: `alg` is not a method for ordinary equations, or its dense output is too coarse.

    Engines: embedded. References: Bellen, Zennaro 2003, *Numerical methods for delay differential equations*;
    DelayDiffEq.jl's `MethodOfSteps`.

    >>> from pydiffeqflux import Tsit5
    >>> MethodOfSteps(Tsit5()).order
    5
    """

    engines: ClassVar[frozenset[Engine]] = EMBEDDED
    kind: ClassVar[EquationKind] = EquationKind.DELAY

    alg: AbstractAlgorithm = field(default_factory=DefaultODEAlgorithm)
    constrained: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.alg, AbstractAlgorithm) or self.alg.kind is not EquationKind.ORDINARY:
            raise InvalidOptionError(
                f"MethodOfSteps takes a method for ordinary equations such as Tsit5(), not {self.alg!r}."
            )
        if has_coarse_dense_output(self.alg):
            raise InvalidOptionError(
                f"MethodOfSteps reads the past from the dense output, and that of {self.alg!r} is less accurate than "
                "its steps; use Tsit5(), Vern7() or Rodas5P()."
            )

    @property
    def order(self) -> int:  # type: ignore[override]
        return self.alg.order

    @property
    def is_stiff(self) -> bool:  # type: ignore[override]
        return self.alg.is_stiff

    @property
    def is_adaptive(self) -> bool:  # type: ignore[override]
        return self.alg.is_adaptive

    @property
    def contains_jacobian(self) -> bool:  # type: ignore[override]
        return contains_jacobian(self.alg)

    @property
    def methods(self) -> tuple[AbstractAlgorithm, ...]:
        return self.alg.methods
