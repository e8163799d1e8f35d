"""Products of matrices, and linear systems."""

from typing import Any

import torch

from ._lowering import Lowering, Value, rule
from ._program import MatMul, Solve


@rule("aten.mm", "aten.bmm")
def matmul(lowering: Lowering, a: Value, b: Value) -> Value:
    """The product of two matrices, or of two stacks of them."""
    if not lowering.result.dtype.is_floating_point:
        raise NotImplementedError("products of integer matrices")
    place = lowering.new_place(tuple(lowering.result.shape), lowering.result.dtype)
    lowering.emit(MatMul(place, lowering.place_of(a), lowering.place_of(b)))
    return lowering.value_of(place)


@rule("aten._linalg_solve_ex")
def solve(
    lowering: Lowering, a: Value, b: Value, *, left: bool = True, check_errors: bool = False
) -> tuple[Value, None, None, None]:
    """The solution X of A X = B; the factors are not made available."""
    if not left or len(a.shape) != 2:
        raise NotImplementedError("systems from the right, or stacks of them")
    columns = b if len(b.shape) == 2 else lowering.reshape(b, (*b.shape, 1))
    place = lowering.new_place(columns.shape, b.dtype)
    lowering.emit(Solve(place, lowering.place_of(a), lowering.place_of(columns)))
    return lowering.reshape(lowering.value_of(place), b.shape), None, None, None


@rule("aten.linalg_inv_ex")
def inverse(lowering: Lowering, a: Value, **options: Any) -> tuple[Value, None]:
    """The inverse of a matrix."""
    if len(a.shape) != 2:
        raise NotImplementedError("stacks of matrices")
    n = a.shape[0]
    identity = torch.eye(n, dtype=a.dtype)
    place = lowering.new_place((n, n), a.dtype)
    lowering.emit(Solve(place, lowering.place_of(a), lowering.place_of(lowering.constant(identity))))
    return lowering.value_of(place), None


@rule("aten._linalg_check_errors")
def check_errors(lowering: Lowering, *arguments: Any, **options: Any) -> None:
    """Nothing: Julia raises by itself where a matrix is singular."""
