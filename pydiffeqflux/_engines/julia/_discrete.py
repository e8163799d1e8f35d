"""Reverse mode through the steps of Julia's solvers: which methods it knows, as Julia objects."""

from collections.abc import Sequence
from itertools import chain

from ... import _algorithms as algs
from ..._tableaus import ExplicitTableau, RosenbrockTableau, Row
from ._arguments import address, doubles
from ._bridge import Bridge
from ._stochastic_stages import StochasticStages, has_stages, stages_of


def reversible(*, stochastic: bool) -> list[type[algs.AbstractAlgorithm]]:
    """The methods that can be run backwards: those whose coefficients are known here."""
    if stochastic:
        return [alg for alg in algs.stochastic_algorithms() if has_stages(alg)]
    return [alg for alg in algs.algorithms_of("julia") if _tableau(alg) is not None]


def can_reverse(alg: algs.AbstractAlgorithm) -> bool:
    """Whether all methods of an algorithm can be run backwards."""
    if isinstance(alg, algs.DefaultODEAlgorithm | algs.DefaultSDEAlgorithm):
        return True
    if isinstance(alg, algs.AbstractStochasticAlgorithm):
        return has_stages(type(alg))
    return all(_tableau(type(part)) is not None for part in alg.methods)


def _tableau(alg: type[algs.AbstractAlgorithm]) -> ExplicitTableau | RosenbrockTableau | None:
    return alg.tableau if issubclass(alg, algs.AbstractExplicitRK | algs.AbstractRosenbrock) else None


def discrete_adjoint(bridge: Bridge, alg: algs.AbstractAlgorithm) -> int:
    """Handle of the `DiscreteAdjoint` of an algorithm."""
    return bridge.call("discrete_adjoint", ",".join(str(_method(bridge, part)) for part in alg.methods))


def _method(bridge: Bridge, alg: algs.AbstractAlgorithm) -> int:
    """Handle of the table of a method."""
    if isinstance(alg, algs.AbstractStochasticAlgorithm):
        return _stochastic(bridge, stages_of(alg))
    table = _tableau(type(alg))
    assert table is not None
    return _rosenbrock(bridge, table) if isinstance(table, RosenbrockTableau) else _explicit(bridge, table)


def _rosenbrock(bridge: Bridge, table: RosenbrockTableau) -> int:
    s = len(table.c)
    a, C = _square(table.a, s), _square(table.C, s)
    numbers = doubles([*table.c, *a, *C, *table.d, *table.b, *chain(*table.dense)])
    return bridge.call("rosenbrock_method", address(numbers), s, table.gamma, len(table.dense[0]))


def _explicit(bridge: Bridge, table: ExplicitTableau) -> int:
    c, a = (*table.c, *table.extra_c), (*table.a, *table.extra_a)
    s, degree = len(c), len(table.dense[0])
    numbers = doubles([*c, *_square(a, s), *_padded(table.b, s), *chain(*table.dense)])
    return bridge.call("explicit_method", address(numbers), s, len(table.c), degree)


def _stochastic(bridge: Bridge, table: StochasticStages) -> int:
    s = len(table.c)
    matrices = (table.a, *table.b)
    numbers = doubles([*map(float, table.drift), *table.c, *chain(*(_padded(row, s) for m in matrices for row in m))])
    return bridge.call("stochastic_method", address(numbers), s)


def _square(rows: Sequence[Row], size: int) -> list[float]:
    return [*chain(*(_padded(row, size) for row in rows))]


def _padded(row: Row, size: int) -> Row:
    return (*row, *(0.0 for _ in range(size - len(row))))
