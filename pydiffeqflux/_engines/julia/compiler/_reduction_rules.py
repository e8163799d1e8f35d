"""Operations that combine the elements along dimensions."""

from collections.abc import Sequence
from typing import Any

import torch

from ._lowering import Lowering, Value, literal, loop_variables, rule
from ._program import Accumulate, Index, Indices, Scan


def reduce(
    lowering: Lowering,
    a: Value,
    dims: Sequence[int] | None,
    operator: str,
    initial: float,
    *,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Value:
    """`operator` over the elements along `dims`, all of them if `None` or empty."""
    count = len(a.shape)
    gone = sorted({d % count for d in dims}) if dims else list(range(count))
    kept = [d for d in range(count) if d not in gone]
    dtype = dtype or a.dtype
    place = lowering.new_place([a.shape[d] for d in kept], dtype)
    inner: Indices = tuple(Index(0, ((f"r{k}", 1),)) for k in range(len(gone)))
    outer = loop_variables(len(kept))
    indices = [Index()] * count
    for d, index in zip(kept, outer, strict=True):
        indices[d] = index
    for d, index in zip(gone, inner, strict=True):
        indices[d] = index
    lowering.emit(
        Accumulate(place, tuple(a.shape[d] for d in gone), operator, literal(initial, dtype), a.at(tuple(indices)))
    )
    result = lowering.value_of(place)
    return lowering.reshape(result, [1 if d in gone else a.shape[d] for d in range(count)]) if keepdim else result


def _as_output(lowering: Lowering, a: Value, dtype: torch.dtype) -> Value:
    """Integers and conditions are summed in the dtype of the result."""
    if a.dtype == dtype:
        return a
    name = "Float64" if dtype == torch.float64 else "Float32" if dtype == torch.float32 else "Int64"
    return lowering.pointwise(a.shape, dtype, f"{name}({{0}})", [a])


@rule("prims.sum")
def sum_(lowering: Lowering, a: Value, dims: Sequence[int] | None, **options: Any) -> Value:
    """The sum."""
    dtype = lowering.result.dtype
    return reduce(lowering, _as_output(lowering, a, dtype), dims, "+", 0, dtype=dtype)


@rule("prims.prod")
def prod(lowering: Lowering, a: Value, dims: Sequence[int] | None, **options: Any) -> Value:
    """The product."""
    dtype = lowering.result.dtype
    return reduce(lowering, _as_output(lowering, a, dtype), dims, "*", 1, dtype=dtype)


@rule("prims.amax", "aten.amax")
def amax(lowering: Lowering, a: Value, dims: Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """The largest element."""
    return reduce(lowering, a, dims, "max", _least(a.dtype), keepdim=keepdim)


@rule("prims.amin", "aten.amin")
def amin(lowering: Lowering, a: Value, dims: Sequence[int] | None = None, keepdim: bool = False) -> Value:
    """The smallest element."""
    return reduce(lowering, a, dims, "min", _greatest(a.dtype), keepdim=keepdim)


def _least(dtype: torch.dtype) -> float:
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def _greatest(dtype: torch.dtype) -> float:
    return torch.inf if dtype.is_floating_point else torch.iinfo(dtype).max


@rule("prims.var")
def var(lowering: Lowering, a: Value, dims: Sequence[int] | None, correction: float = 1.0, **options: Any) -> Value:
    """The variance, in two passes."""
    a = a if a.cheap else lowering.realise(a)
    count = len(a.shape)
    gone = sorted({d % count for d in dims}) if dims else list(range(count))
    size = 1
    for d in gone:
        size *= a.shape[d]
    total = reduce(lowering, a, gone, "+", 0, keepdim=True)
    mean = lowering.realise(
        lowering.pointwise(total.shape, a.dtype, "({0} / {1})", [total, lowering.literal(size, a.dtype, total.shape)])
    )
    deviation = lowering.pointwise(a.shape, a.dtype, "abs2({0} - {1})", [a, lowering.broadcast(mean, a.shape)])
    squares = reduce(lowering, deviation, gone, "+", 0)
    divisor = lowering.literal(max(size - correction, 0.0), a.dtype, squares.shape)
    return lowering.pointwise(squares.shape, a.dtype, "({0} / {1})", [squares, divisor])


@rule("aten.max", "aten.min")
def extremum(lowering: Lowering, a: Value, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest or smallest element; with a dimension also where it lies."""
    raise NotImplementedError("max and min with indices have no rule yet; use amax and amin")


@rule("aten.cumsum")
def cumsum(lowering: Lowering, a: Value, dim: int, **options: Any) -> Value:
    """Partial sums along a dimension."""
    return _scan(lowering, a, dim, "+")


@rule("aten.cumprod")
def cumprod(lowering: Lowering, a: Value, dim: int, **options: Any) -> Value:
    """Partial products along a dimension."""
    return _scan(lowering, a, dim, "*")


def _scan(lowering: Lowering, a: Value, dim: int, operator: str) -> Value:
    if a.dtype != lowering.result.dtype:
        a = _as_output(lowering, a, lowering.result.dtype)
    if not a.shape:
        return a
    place = lowering.new_place(a.shape, a.dtype)
    lowering.emit(Scan(place, dim % len(a.shape), operator, a.at(loop_variables(len(a.shape)))))
    return lowering.value_of(place)
