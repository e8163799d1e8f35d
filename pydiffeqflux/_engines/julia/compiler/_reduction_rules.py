"""Operations that combine the elements along dimensions."""

from collections.abc import Sequence
from typing import Any

import torch

from ._dtypes import literal
from ._lowering import Lowering, Value, loop_variables, position
from ._pointwise_rules import EQUAL, convert_element_type
from ._program import Accumulate, Call, Index, Indices, Scan
from ._rules import rule


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
    gone = reduced_dims(dims, count)
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


def reduced_dims(dims: Sequence[int] | None, count: int) -> list[int]:
    """Which dimensions disappear; a tensor without dimensions has none to lose."""
    return sorted({d % count for d in dims}) if dims and count else list(range(count))


def _as_output(lowering: Lowering, a: Value, dtype: torch.dtype) -> Value:
    """Integers and conditions are summed in the dtype of the result."""
    if a.dtype == dtype:
        return a
    return convert_element_type(lowering, a, dtype)


@rule("prims.sum")
def sum_(lowering: Lowering, a: Value, dims: Sequence[int] | None, *, output_dtype: torch.dtype | None = None) -> Value:
    """The sum."""
    dtype = lowering.result.dtype
    return reduce(lowering, _as_output(lowering, a, dtype), dims, "+", 0, dtype=dtype)


@rule("prims.prod")
def prod(lowering: Lowering, a: Value, dims: Sequence[int] | None, *, output_dtype: torch.dtype | None = None) -> Value:
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
    if dtype == torch.bool:
        return False
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def _greatest(dtype: torch.dtype) -> float:
    if dtype == torch.bool:
        return True
    return torch.inf if dtype.is_floating_point else torch.iinfo(dtype).max


@rule("prims.var")
def var(
    lowering: Lowering,
    a: Value,
    dims: Sequence[int] | None,
    correction: float = 1.0,
    *,
    output_dtype: torch.dtype | None = None,
) -> Value:
    """The variance, in two passes."""
    a = a if a.cheap else lowering.realise(a)
    count = len(a.shape)
    gone = reduced_dims(dims, count)
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


@rule("aten.max")
def max_(lowering: Lowering, a: Value, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest element; with a dimension also where it lies."""
    a = a if a.cheap else lowering.realise(a)
    return _extremum(lowering, a, dim, amax(lowering, a, None if dim is None else [dim], keepdim), keepdim)


@rule("aten.min")
def min_(lowering: Lowering, a: Value, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest element; with a dimension also where it lies."""
    a = a if a.cheap else lowering.realise(a)
    return _extremum(lowering, a, dim, amin(lowering, a, None if dim is None else [dim], keepdim), keepdim)


def _extremum(lowering: Lowering, a: Value, dim: int | None, found: Value, keepdim: bool) -> Any:
    return found if dim is None else (found, _position(lowering, a, dim, found, keepdim=keepdim))


@rule("aten.argmax")
def argmax(lowering: Lowering, a: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """Where the largest element lies, the first of them."""
    return _argument(lowering, a, dim, keepdim, amax)


@rule("aten.argmin")
def argmin(lowering: Lowering, a: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """Where the smallest element lies, the first of them."""
    return _argument(lowering, a, dim, keepdim, amin)


def _argument(lowering: Lowering, a: Value, dim: int | None, keepdim: bool, find: Any) -> Value:
    shape = tuple(lowering.result.shape)
    flat = lowering.realise(a) if dim is not None else lowering.reshape(lowering.realise(a), (a.size,))
    along = 0 if dim is None else dim
    return lowering.reshape(_position(lowering, flat, along, find(lowering, flat, [along]), keepdim=False), shape)


def _position(lowering: Lowering, a: Value, dim: int, found: Value, *, keepdim: bool) -> Value:
    """The first index along a dimension at which an element is the one that was found."""
    if not a.shape:
        return lowering.literal(0, torch.int64)
    dim %= len(a.shape)
    size = a.shape[dim]
    one = tuple(1 if k == dim else n for k, n in enumerate(a.shape))
    wanted = lowering.broadcast(lowering.reshape(found, one), a.shape)
    template = f"ifelse({EQUAL} | isnan({{0}}), {{2}}, {size})"
    where = Value(a.shape, torch.int64, lambda i: Call(template, (a.at(i), wanted.at(i), position(i[dim]))))
    return reduce(lowering, where, [dim], "min", size, keepdim=keepdim)


@rule("aten.cumsum")
def cumsum(lowering: Lowering, a: Value, dim: int, *, dtype: torch.dtype | None = None) -> Value:
    """Partial sums along a dimension."""
    return _scan(lowering, a, dim, "+")


@rule("aten.cumprod")
def cumprod(lowering: Lowering, a: Value, dim: int, *, dtype: torch.dtype | None = None) -> Value:
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
