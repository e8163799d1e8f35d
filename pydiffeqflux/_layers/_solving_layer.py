"""What all layers that solve an equation have in common."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._option_names import check_option_names
from .._problems import AbstractProblem
from .._solution import Solution
from .._solve import solve

_OPTIONS = tuple(inspect.signature(solve).parameters)[2:]
"""The options of `solve`, which come after the problem and the algorithm."""


class SolvingLayer(nn.Module):
    """A layer whose forward pass solves an equation.

    Attributes:
        tspan: start and end time.
        alg: the algorithm.
        solve_options: the options of `solve` that were given at construction; they may be changed.

    Raises:
        InvalidOptionError: `solve` has no such option.
    """

    def __init__(self, tspan: Sequence[float], alg: AbstractAlgorithm | None, solve_options: dict[str, Any]) -> None:
        super().__init__()
        self.tspan = _as_times(tspan)
        self.alg = alg
        self.solve_options = solve_options
        check_option_names(type(self).__name__, solve_options, _OPTIONS)

    def _solve(self, prob: AbstractProblem, overrides: dict[str, Any]) -> Solution:
        """Solve a problem with the options of the layer and those of a call, which come before them."""
        return solve(prob, self.alg, **(self.solve_options | overrides))

    def _span(self, tspan: Sequence[float] | None) -> tuple[Any, ...]:
        """The time span of a call, which may have one of its own."""
        return self.tspan if tspan is None else _as_times(tspan)


def _as_times(tspan: Sequence[float]) -> tuple[Any, ...]:
    return tuple(t if isinstance(t, Tensor) else float(t) for t in tspan)
