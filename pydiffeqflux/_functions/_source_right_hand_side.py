"""The right-hand side of a `JuliaSource`, which only Julia can evaluate."""

from collections.abc import Callable
from typing import NoReturn

from torch import Tensor

from .._julia_source import JuliaSource
from ._connection import Connection
from ._evaluation import AbstractEvaluation
from ._parameters import Parameters
from ._right_hand_side import RightHandSide


class SourceRightHandSide(RightHandSide):
    """Parameters to differentiate, and a function that only Julia can call.

    Attributes:
        code: the source.
    """

    code: str

    def __init__(
        self,
        u0: Tensor,
        tspan: tuple[float, float],
        mass_matrix: Tensor | None,
        source: JuliaSource,
        parameters: Parameters,
    ) -> None:
        super().__init__(u0, tspan, source, _InJulia(source), parameters)
        self.mass_matrix = mass_matrix
        self.code = source.code
        # what the code uses is not known; it is taken to use everything
        self.connection = Connection(uses_state=True, leaves=parameters.tensors)


class _InJulia(AbstractEvaluation):
    def __init__(self, source: JuliaSource) -> None:
        self._source = source

    def __call__(self, u: Tensor, t: Tensor) -> NoReturn:
        return self._source(u, None, t)

    def replacing(self, fresh: dict[int, Tensor]) -> Callable[[Tensor, Tensor], NoReturn]:
        return self
