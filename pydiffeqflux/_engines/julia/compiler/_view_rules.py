"""Operations that rearrange elements without computing."""

from collections.abc import Callable, Sequence
from typing import Any

from ._dtypes import literal
from ._lowering import Lowering, Value
from ._pointwise_rules import convert_element_type
from ._program import Call, Expr, Index, Indices, Literal, Loop, Place, Position
from ._refusals import not_covered
from ._rules import rule


@rule("prims.broadcast_in_dim")
def broadcast_in_dim(lowering: Lowering, a: Value, shape: Sequence[int], dims: Sequence[int]) -> Value:
    """Dimension k of `a` becomes dimension `dims[k]` of the result; the others repeat."""
    spread = [1] * len(shape)
    for size, dim in zip(a.shape, dims, strict=True):
        spread[dim] = size
    return lowering.broadcast(lowering.reshape(a, spread), shape)


@rule("prims.transpose", "aten.permute")
def transpose(lowering: Lowering, a: Value, permutation: Sequence[int]) -> Value:
    """Dimension `permutation[k]` of `a` becomes dimension k."""

    def remap(indices: Indices) -> Indices:
        result = [Index()] * len(indices)
        for new, old in enumerate(permutation):
            result[old] = indices[new]
        return tuple(result)

    return lowering.view(a, [a.shape[k] for k in permutation], remap)


@rule(
    "prims.squeeze",
    "prims.split_dim",
    "prims.collapse_view",
    "prims.collapse",
    "prims.reshape",
    "aten.view",
    "aten.reshape",
    "aten._unsafe_view",
    "aten._reshape_alias",
    "aten.unsqueeze",
    "aten.squeeze",
    "aten.squeeze_",
    "aten.unsqueeze_",
)
def reshape(lowering: Lowering, a: Value, *arguments: int | Sequence[int]) -> Value:
    """Any operation that keeps the row-major order; another dtype on the same memory is none."""
    return lowering.reshape(a, tuple(lowering.result.shape))


@rule("aten.expand")
def expand(lowering: Lowering, a: Value, size: Sequence[int], *, implicit: bool = False) -> Value:
    """Repetition along dimensions of size 1."""
    return lowering.broadcast(a, tuple(lowering.result.shape))


@rule("aten.slice")
def slice_(
    lowering: Lowering, a: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    """Every `step`-th element along a dimension, from `start`."""
    dim %= len(a.shape)
    first = 0 if start is None else min(start if start >= 0 else max(start + a.shape[dim], 0), a.shape[dim])

    def remap(indices: Indices) -> Indices:
        return _replaced(indices, dim, lambda index: index * step + first)

    return lowering.view(a, tuple(lowering.result.shape), remap)


@rule("prims.slice_in_dim")
def slice_in_dim(lowering: Lowering, a: Value, start: int, limit: int, stride: int = 1, axis: int = 0) -> Value:
    """The same with its arguments in another order."""
    return slice_(lowering, a, axis, start, limit, stride)


@rule("prims.slice")
def prims_slice(
    lowering: Lowering, a: Value, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int] | None = None
) -> Value:
    """A slice of every dimension at once."""
    steps = strides or [1] * len(starts)

    def remap(indices: Indices) -> Indices:
        return tuple(i * step + start for i, step, start in zip(indices, steps, starts, strict=True))

    return lowering.view(a, tuple(lowering.result.shape), remap)


@rule("aten.select")
def select(lowering: Lowering, a: Value, dim: int, index: int) -> Value:
    """One element along a dimension, which disappears."""
    dim %= len(a.shape)
    index %= a.shape[dim]

    def remap(indices: Indices) -> Indices:
        return (*indices[:dim], Index(index), *indices[dim:])

    return lowering.view(a, (*a.shape[:dim], *a.shape[dim + 1 :]), remap)


@rule("aten.diagonal")
def diagonal(lowering: Lowering, a: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    """The diagonal of two dimensions, which becomes the last one."""
    return _diagonal(lowering, a, tuple(lowering.result.shape), offset, dim1, dim2)


def _diagonal(lowering: Lowering, a: Value, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Value:
    dim1, dim2 = dim1 % len(a.shape), dim2 % len(a.shape)

    def remap(indices: Indices) -> Indices:
        rest = iter(indices[:-1])
        k = indices[-1]
        found = {dim1: k + max(-offset, 0), dim2: k + max(offset, 0)}
        return tuple(found[d] if d in found else next(rest) for d in range(len(a.shape)))

    return lowering.view(a, shape, remap)


@rule("aten.diagonal_scatter")
def diagonal_scatter(
    lowering: Lowering, a: Value, source: Value, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Value:
    """A copy of `a` with another diagonal."""
    whole = lowering.value_of(lowering.new_place(a.shape, a.dtype))
    lowering.store(a, lowering.place_of(whole))
    lowering.store(source, lowering.place_of(_diagonal(lowering, whole, source.shape, offset, dim1, dim2)))
    return whole


@rule("aten.diag_embed")
def diag_embed(lowering: Lowering, a: Value, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Value:
    """Zeros with a diagonal."""
    zeros = lowering.literal(0, a.dtype, tuple(lowering.result.shape))
    return diagonal_scatter(lowering, zeros, a, offset, dim1, dim2)


@rule("aten.as_strided", "prims.as_strided")
def as_strided(
    lowering: Lowering, a: Value, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Value:
    """A view by strides."""
    if not lowering.operands[0].is_contiguous():
        return lowering.view(a, tuple(size), _by_strides(lowering.operands[0], size, stride, offset))
    relative = _relative(lowering, a, size, stride, offset)
    place = lowering.place_of(lowering.contiguous(a))
    return lowering.value_of(Place(place.array, place.offset + relative, tuple(size), tuple(stride)))


def _relative(lowering: Lowering, a: Value, size: Sequence[int], stride: Sequence[int], offset: int | None) -> int:
    """Where a view by strides starts, counted from the start of `a`, which must hold all of it."""
    fake = lowering.operands[0]
    if not fake.is_contiguous():
        not_covered("strides of memory that is not contiguous")
    relative = 0 if offset is None else offset - fake.storage_offset()
    last = relative + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= relative <= last < a.size:
        not_covered("strides that reach beyond the tensor")
    return relative


def _by_strides(
    fake: Any, size: Sequence[int], stride: Sequence[int], offset: int | None
) -> Callable[[Indices], Indices]:
    """From indices of a view by strides to those of a tensor with gaps, whose strides those of the view must be."""
    relative = 0 if offset is None else offset - fake.storage_offset()
    found = []
    for n, step in zip(size, stride, strict=True):
        dims = [d for d in range(fake.ndim) if fake.stride(d) == step and fake.shape[d] >= n]
        if n != 1 and not dims:
            not_covered("strides of memory that is not contiguous")
        found.append(dims[0] if dims else None)
    reach = [1 + sum(n - 1 for n, d in zip(size, found, strict=True) if d == k) for k in range(fake.ndim)]
    if relative or any(most > n for most, n in zip(reach, fake.shape, strict=True)):
        not_covered("strides that reach beyond the tensor")

    def remap(indices: Indices) -> Indices:
        result = [Index()] * fake.ndim
        for index, dim in zip(indices, found, strict=True):
            if dim is not None:
                result[dim] = result[dim] + index
        return tuple(result)

    return remap


@rule("prims.as_strided_scatter", "aten.as_strided_scatter")
def as_strided_scatter(
    lowering: Lowering,
    a: Value,
    source: Value,
    size: Sequence[int],
    stride: Sequence[int],
    offset: int | None = None,
) -> Value:
    """A copy of `a` with `source` in a view by strides."""
    relative = _relative(lowering, a, size, stride, offset)
    place = lowering.new_place(a.shape, a.dtype)
    lowering.store(a, place)
    lowering.store(source, Place(place.array, relative, tuple(size), tuple(stride)))
    return lowering.value_of(place)


@rule("aten.copy")
def copy(lowering: Lowering, a: Value, source: Value, non_blocking: bool = False) -> Value:
    """`source` in the shape and dtype of `a`."""
    return lowering.broadcast(convert_element_type(lowering, source, a.dtype), a.shape)


@rule("aten.unbind")
def unbind(lowering: Lowering, a: Value, dim: int = 0) -> list[Value]:
    """All elements along a dimension, which disappears."""
    return [select(lowering, a, dim, k) for k in range(a.shape[dim])]


@rule("aten.split", "aten.split_with_sizes", "aten.chunk")
def split(lowering: Lowering, a: Value, sizes: int | Sequence[int], dim: int = 0) -> list[Value]:
    """Parts along a dimension."""
    result, start = [], 0
    for part in lowering.result:
        shape = tuple(part.shape)

        def remap(indices: Indices, start: int = start) -> Indices:
            return _replaced(indices, dim, lambda index: index + start)

        result.append(lowering.view(a, shape, remap))
        start += shape[dim]
    return result


def _replaced(indices: Indices, dim: int, change: Callable[[Index], Index]) -> Indices:
    """The indices with that along one dimension changed."""
    dim %= len(indices)
    return (*indices[:dim], change(indices[dim]), *indices[dim + 1 :])


@rule("prims.rev", "aten.flip")
def flip(lowering: Lowering, a: Value, dims: Sequence[int]) -> Value:
    """The order of some dimensions reversed."""
    reversed_dims = {d % len(a.shape) for d in dims} if a.shape else set()

    def remap(indices: Indices) -> Indices:
        return tuple(i * -1 + (a.shape[d] - 1) if d in reversed_dims else i for d, i in enumerate(indices))

    return lowering.view(a, a.shape, remap)


@rule("prims.cat", "aten.cat")
def cat(lowering: Lowering, tensors: Sequence[Value], dim: int = 0) -> Value:
    """Tensors one behind the other."""
    shape = tuple(lowering.result.shape)
    dim %= len(shape)
    place = lowering.new_place(shape, lowering.result.dtype)
    start = 0
    for tensor in tensors:
        if tensor.size == 0:
            continue
        offset = place.offset + start * place.strides[dim]
        lowering.store(tensor, Place(place.array, offset, tensor.shape, place.strides))
        start += tensor.shape[dim]
    return lowering.value_of(place)


@rule("aten.constant_pad_nd")
def constant_pad_nd(lowering: Lowering, a: Value, pad: Sequence[int], value: float = 0) -> Value:
    """A frame of a constant; negative widths cut."""
    count = len(a.shape)
    before = [0] * count
    for k in range(len(pad) // 2):
        before[count - 1 - k] = pad[2 * k]
    return constant_pad_nd_to(lowering, a, before, tuple(lowering.result.shape), value)


def constant_pad_nd_to(
    lowering: Lowering, a: Value, before: Sequence[int], shape: Sequence[int], value: float
) -> Value:
    """`a` in a frame: `before` elements in front along every dimension, and `shape` in all."""
    shape = tuple(shape)
    if shape == a.shape and not any(before):
        return lowering.realise(a)
    place = lowering.new_place(shape, a.dtype)
    lowering.emit(Loop(place, Literal(literal(value, a.dtype))))
    starts = [max(b, 0) for b in before]
    skipped = [max(-b, 0) for b in before]
    kept = tuple(
        min(size - skip, total - start)
        for size, skip, total, start in zip(a.shape, skipped, shape, starts, strict=True)
    )
    if min(kept, default=1) <= 0:
        return lowering.value_of(place)
    offset = sum(s * stride for s, stride in zip(starts, place.strides, strict=True))
    cut = lowering.view(a, kept, lambda indices: tuple(i + s for i, s in zip(indices, skipped, strict=True)))
    lowering.store(cut, Place(place.array, offset, kept, place.strides))
    return lowering.value_of(place)


@rule("prims.iota")
def iota(lowering: Lowering, length: int, *, start: int = 0, step: int = 1, **options: Any) -> Value:
    """`start`, `start + step`, ..."""
    return Value((length,), lowering.result.dtype, lambda indices: Position(indices[0] * step + start), cheap=True)


@rule("aten.arange")
def arange(lowering: Lowering, *arguments: float, **options: Any) -> Value:
    """Equidistant numbers."""
    start, _, step = (0, arguments[0], 1) if len(arguments) == 1 else (*arguments, 1)[:3]
    if all(isinstance(x, int) for x in (start, step)) and not lowering.result.dtype.is_floating_point:
        return iota(lowering, lowering.result.shape[0], start=start, step=step)
    return _linear(lowering, float(start), float(step))


def _linear(lowering: Lowering, start: float, step: float) -> Value:
    dtype = lowering.result.dtype
    first, by = literal(start, dtype), literal(step, dtype)

    def at(indices: Indices) -> Expr:
        return Call("({0} + {1} * {2})", (Literal(first), Literal(by), Position(indices[0])))

    return Value(tuple(lowering.result.shape), dtype, at, cheap=True)


@rule("prims.full", "prims.full_like", "aten.full", "aten.full_like")
def full(lowering: Lowering, shape: Value | Sequence[int], value: float, **options: Any) -> Value:
    """The same number everywhere."""
    return lowering.literal(value, lowering.result.dtype, tuple(lowering.result.shape))


@rule("prims.scalar_tensor", "aten.scalar_tensor")
def scalar_tensor(lowering: Lowering, value: float, **options: Any) -> Value:
    """A number as a tensor."""
    return lowering.literal(value, lowering.result.dtype)


@rule("prims.empty_strided", "prims.empty_permuted", "aten.empty", "aten.empty_like", "aten.empty_strided",
      "aten.new_empty", "aten.new_empty_strided")  # fmt: skip
def empty(lowering: Lowering, *arguments: Any, **options: Any) -> Value:
    """Memory whose contents nobody may rely on."""
    return lowering.literal(0, lowering.result.dtype, tuple(lowering.result.shape))
