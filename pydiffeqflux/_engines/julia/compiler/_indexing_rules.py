"""Operations that read or write at computed positions."""

from collections.abc import Callable, Sequence

import torch

from ._lowering import Lowering, Operand, Value, loop_variables
from ._program import Call, Expr, Index, Indices, ScatterAdd
from ._refusals import not_covered
from ._rules import rule
from ._trace import VALUES, CannotCompileError

Remap = Callable[[Indices], Indices]


def computed(index: Value, indices: Indices, size: int) -> Index:
    """A number in an integer tensor as an index along a dimension; one that lies outside raises in Julia."""
    return Index(0, ((Call(f"wrapped({{0}}, {size})", (index.at(indices),)), 1),))


def _integers(lowering: Lowering, index: Value) -> Value:
    if index.dtype not in (torch.int64, torch.int32):
        raise CannotCompileError(f"{VALUES} (an index that is not of integers)")
    return index if index.cheap else lowering.realise(index)


def _advanced(
    lowering: Lowering, shape: tuple[int, ...], indices: Sequence[Value | None]
) -> tuple[tuple[int, ...], Remap]:
    """Shape of `x[indices]`, and from its indices to those of `x`."""
    if all(index is None for index in indices):
        not_covered("no indices")
    given = {k: _integers(lowering, index) for k, index in enumerate(indices) if index is not None}
    common = tuple(torch.broadcast_shapes(*(index.shape for index in given.values())))
    spread = {k: lowering.broadcast(index, common) for k, index in given.items()}
    places = sorted(given)
    # as torch: dimensions of adjacent index tensors stay where they are, others come first
    adjacent = places[-1] - places[0] + 1 == len(places)
    first = places[0] if adjacent else 0
    rest = [k for k in range(len(shape)) if k not in given]
    before = [k for k in rest if k < first] if adjacent else []
    after = [k for k in rest if k not in before]
    result = (*(shape[k] for k in before), *common, *(shape[k] for k in after))

    def remap(outer: Indices) -> Indices:
        middle = outer[len(before) : len(before) + len(common)]
        plain = dict(zip([*before, *after], (*outer[: len(before)], *outer[len(before) + len(common) :]), strict=True))
        return tuple(computed(spread[k], middle, shape[k]) if k in spread else plain[k] for k in range(len(shape)))

    return result, remap


def _along(lowering: Lowering, shape: tuple[int, ...], dim: int, index: Value) -> Remap:
    """From indices of an index tensor to those of the tensor that it indexes along one dimension."""
    index = _integers(lowering, index)

    def remap(indices: Indices) -> Indices:
        return (*indices[:dim], computed(index, indices, shape[dim]), *indices[dim + 1 :])

    return remap


def _read(lowering: Lowering, a: Value, shape: Sequence[int], remap: Remap) -> Value:
    source = a if a.cheap else lowering.realise(a)
    return Value(tuple(shape), a.dtype, lambda indices: source.at(remap(indices)))


def _written(
    lowering: Lowering, a: Value, shape: Sequence[int], remap: Remap, value: Value, *, accumulate: bool
) -> Value:
    """A copy of `a` with values written, or added, at computed positions."""
    place = lowering.new_place(a.shape, a.dtype)
    lowering.store(a, place)
    variables = loop_variables(len(shape))
    index = place.at(remap(variables))
    expr: Expr = value.at(variables)
    lowering.emit(ScatterAdd(tuple(shape), place.array, index, expr, accumulate))
    return lowering.value_of(place)


@rule("aten.index", "aten._unsafe_index")
def index(lowering: Lowering, a: Value, indices: Sequence[Value | None]) -> Value:
    """Elements at integer positions, `a[i, :, j]`."""
    shape, remap = _advanced(lowering, a.shape, indices)
    return _read(lowering, a, shape, remap)


@rule("aten.index_put", "aten._unsafe_index_put")
def index_put(
    lowering: Lowering, a: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False
) -> Value:
    """A copy with other values at integer positions, or one value where a condition holds."""
    mask = indices[0] if indices else None
    if mask is not None and mask.dtype == torch.bool and mask.shape == a.shape and values.size == 1:
        one = lowering.broadcast(lowering.reshape(values, ()), a.shape)
        chosen = lowering.pointwise(a.shape, a.dtype, "({0} + {1})", [a, one]) if accumulate else one
        return lowering.pointwise(a.shape, a.dtype, "ifelse({0}, {1}, {2})", [mask, chosen, a])
    shape, remap = _advanced(lowering, a.shape, indices)
    excess = max(len(values.shape) - len(shape), 0)  # dimensions of size 1
    values = lowering.reshape(values, values.shape[excess:])
    return _written(lowering, a, shape, remap, lowering.broadcast(values, shape), accumulate=accumulate)


@rule("aten.index_select")
def index_select(lowering: Lowering, a: Value, dim: int, index: Value) -> Value:
    """Elements at integer positions along one dimension."""
    if not a.shape:
        return _repeated(lowering, a, tuple(lowering.result.shape))
    shape, remap = _advanced(
        lowering, a.shape, [None] * (dim % len(a.shape)) + [lowering.reshape(index, (index.size,))]
    )
    return _read(lowering, a, shape, remap)


def _repeated(lowering: Lowering, a: Value, shape: tuple[int, ...]) -> Value:
    """What can be read of a tensor without dimensions: always its one element."""
    return lowering.broadcast(lowering.reshape(a, (1,) * len(shape)), shape)


@rule("aten.embedding")
def embedding(
    lowering: Lowering,
    weight: Value,
    index: Value,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    """Rows of a table; the options are about its gradient."""
    shape, remap = _advanced(lowering, weight.shape, [index])
    return _read(lowering, weight, shape, remap)


@rule("aten.gather")
def gather(lowering: Lowering, a: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Value:
    """`a[..., index[..., k, ...], ...]`."""
    if not a.shape:
        return _repeated(lowering, a, index.shape)
    return _read(lowering, a, index.shape, _along(lowering, a.shape, dim % len(a.shape), index))


@rule("aten.scatter")
def scatter(lowering: Lowering, a: Value, dim: int, index: Value, source: Operand) -> Value:
    """A copy of `a` with `source` at the places that `index` gives along a dimension."""
    return _scattered(lowering, a, dim, index, source, accumulate=False)


@rule("aten.scatter_add")
def scatter_add(lowering: Lowering, a: Value, dim: int, index: Value, source: Value) -> Value:
    """`a` with `source` added at the places that `index` gives along a dimension."""
    return _scattered(lowering, a, dim, index, source, accumulate=True)


def _scattered(lowering: Lowering, a: Value, dim: int, index: Value, source: Operand, *, accumulate: bool) -> Value:
    value = source if isinstance(source, Value) else lowering.literal(source, a.dtype, index.shape)
    if index.size == 0:
        return a
    if not a.shape:
        if index.size != 1 or value.size != 1:
            not_covered("several values for one element")
        one = lowering.reshape(lowering.realise(value), ())
        return lowering.pointwise((), a.dtype, "({0} + {1})", [a, one]) if accumulate else one
    remap = _along(lowering, a.shape, dim % len(a.shape), index)
    return _written(lowering, a, index.shape, remap, value, accumulate=accumulate)
