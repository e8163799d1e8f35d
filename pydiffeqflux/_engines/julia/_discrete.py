"""Reverse mode through the steps of Julia's solvers: which methods it knows, as Julia objects."""

from collections.abc import Sequence
from itertools import chain

from ... import _algorithms as algs
from ..tableaus import EXPLICIT, ROSENBROCK, Row
from ._arguments import address, doubles
from ._bridge import Bridge

REVERSIBLE = ", ".join(f"{alg.__name__}()" for alg in (*EXPLICIT, *ROSENBROCK))
"""The methods that can be run backwards, for messages."""


def can_reverse(alg: algs.AbstractAlgorithm) -> bool:
    """Whether all methods of an algorithm can be run backwards."""
    if isinstance(alg, algs.DefaultODEAlgorithm):
        return True
    return all(type(part) in EXPLICIT or type(part) in ROSENBROCK for part in algs.methods_of(alg))


def discrete_adjoint(bridge: Bridge, alg: algs.AbstractAlgorithm) -> int:
    """Handle of the `DiscreteAdjoint` of an algorithm."""
    return bridge.call("discrete_adjoint", ",".join(str(_method(bridge, part)) for part in algs.methods_of(alg)))


def _method(bridge: Bridge, alg: algs.AbstractAlgorithm) -> int:
    """Handle of the table of a method."""
    if type(alg) in ROSENBROCK:
        rosenbrock = ROSENBROCK[type(alg)]
        c, a, C, d, b, dense = (rosenbrock.c, rosenbrock.a, rosenbrock.C, rosenbrock.d, rosenbrock.b, rosenbrock.dense)
        s = len(c)
        numbers = doubles([*c, *_square(a, s), *_square(C, s), *d, *b, *chain(*dense)])
        return bridge.call("rosenbrock_method", address(numbers), s, rosenbrock.gamma, len(dense[0]))
    explicit = EXPLICIT[type(alg)]
    c, a, dense = (*explicit.c, *explicit.extra_c), (*explicit.a, *explicit.extra_a), explicit.dense
    s, degree = len(c), max(map(len, dense))
    numbers = doubles([*c, *_square(a, s), *_padded(explicit.b, s), *chain(*(_padded(row, degree) for row in dense))])
    return bridge.call("explicit_method", address(numbers), s, len(explicit.c), degree)


def _square(rows: Sequence[Row], size: int) -> list[float]:
    return [*chain(*(_padded(row, size) for row in rows))]


def _padded(row: Row, size: int) -> Row:
    return (*row, *(0.0 for _ in range(size - len(row))))
