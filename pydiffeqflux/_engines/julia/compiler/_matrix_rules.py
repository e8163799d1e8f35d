"""Products of matrices, and linear systems."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from ._lowering import Lowering, Value
from ._program import MatMul, Solve
from ._reduction_rules import reduce
from ._refusals import not_covered
from ._rules import rule


@rule("aten.mm", "aten.bmm")
def matmul(lowering: Lowering, a: Value, b: Value) -> Value:
    """The product of two matrices, or of two stacks of them."""
    if not lowering.result.dtype.is_floating_point:
        not_covered("products of integer matrices")
    place = lowering.new_place(tuple(lowering.result.shape), lowering.result.dtype)
    lowering.emit(MatMul(place, lowering.place_of(a), lowering.place_of(b)))
    return lowering.value_of(place)


@rule("aten._linalg_solve_ex")
def solve(
    lowering: Lowering, a: Value, b: Value, *, left: bool = True, check_errors: bool = False
) -> tuple[Value, None, None, None]:
    """The solution X of A X = B or X A = B; the factors are not made available."""
    a = lowering.realise(a)
    if b.shape == a.shape[:-1]:  # a vector for each matrix
        columns = lowering.reshape(b, (*b.shape, 1))
        return lowering.reshape(solution(lowering, a, columns, left=True), b.shape), None, None, None
    return solution(lowering, a, b, left=left), None, None, None


def transposed(lowering: Lowering, a: Value) -> Value:
    """The last two dimensions exchanged."""
    shape = (*a.shape[:-2], a.shape[-1], a.shape[-2])
    return lowering.view(a, shape, lambda indices: (*indices[:-2], indices[-1], indices[-2]))


def solution(lowering: Lowering, a: Value, b: Value, *, left: bool) -> Value:
    """The solution of systems of matrices, one or a stack."""
    if not left:
        return transposed(lowering, solution(lowering, transposed(lowering, a), transposed(lowering, b), left=True))
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = math.prod(batch)
    a = lowering.reshape(lowering.broadcast(a, (*batch, *a.shape[-2:])), (count, *a.shape[-2:]))
    b = lowering.reshape(lowering.broadcast(b, (*batch, *b.shape[-2:])), (count, *b.shape[-2:]))
    place = lowering.new_place(b.shape, b.dtype)
    lowering.emit(Solve(place, lowering.place_of(a), lowering.place_of(b)))
    return lowering.reshape(lowering.value_of(place), (*batch, *b.shape[-2:]))


@rule("aten.linalg_inv_ex")
def inverse(lowering: Lowering, a: Value, *, check_errors: bool = False) -> tuple[Value, None]:
    """The inverse of a matrix."""
    return solution(lowering, a, lowering.constant(torch.eye(a.shape[-1], dtype=a.dtype)), left=True), None


@rule("aten._trilinear")
def trilinear(
    lowering: Lowering,
    a: Value,
    b: Value,
    c: Value,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Value:
    """The product of three tensors, summed along some dimensions."""
    spread = []
    for value, missing in ((a, expand1), (b, expand2), (c, expand3)):
        shape = list(value.shape)
        for dim in missing:
            shape.insert(dim, 1)
        spread.append(lowering.reshape(lowering.realise(value), shape))
    shape = tuple(torch.broadcast_shapes(*(value.shape for value in spread)))
    spread = [lowering.broadcast(value, shape) for value in spread]
    product = lowering.pointwise(shape, a.dtype, "({0} * {1} * {2})", spread)
    return reduce(lowering, product, sumdim, "+", 0) if sumdim else product


@rule("aten._linalg_check_errors")
def check_errors(lowering: Lowering, *arguments: Any, **options: Any) -> None:
    """Nothing: Julia raises by itself where a matrix is singular."""
