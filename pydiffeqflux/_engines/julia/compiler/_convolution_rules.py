"""Convolutions, pooling and their derivatives, as loops."""

import math
from collections.abc import Sequence

import torch

from ._dtypes import literal
from ._lowering import Lowering, Value, loop_variables
from ._program import Accumulate, Call, Index, Indices, Literal, Loop, ScatterAdd
from ._reduction_rules import reduce
from ._refusals import not_covered
from ._rules import rule
from ._view_rules import constant_pad_nd_to


def _named(prefix: str, count: int, start: int = 0) -> Indices:
    return tuple(Index(0, ((f"{prefix}{k}", 1),)) for k in range(start, start + count))


def _window(outer: Indices, inner: Indices, stride: Sequence[int], dilation: Sequence[int]) -> Indices:
    """Where element `inner` of the kernel falls for element `outer` of the output."""
    return tuple(o * s + k * d for o, k, s, d in zip(outer, inner, stride, dilation, strict=True))


def _padded(lowering: Lowering, a: Value, padding: Sequence[int], dims: int) -> Value:
    pads = [0] * (len(a.shape) - dims) + list(padding)
    return constant_pad_nd_to(lowering, a, pads, [n + 2 * p for n, p in zip(a.shape, pads, strict=True)], 0.0)


def _full(values: Sequence[int], dims: int) -> list[int]:
    return list(values) * (dims if len(values) == 1 else 1)


def _grouped(lowering: Lowering, a: Value, dim: int, groups: int) -> Value:
    """A dimension split into groups of channels."""
    shape = (*a.shape[:dim], groups, a.shape[dim] // groups, *a.shape[dim + 1 :])
    return lowering.reshape(lowering.realise(a), shape)


_PRODUCT = "({0} * {1})"


def _correlate(lowering: Lowering, x: Value, w: Value, stride: Sequence[int], dilation: Sequence[int]) -> Value:
    """`y[n, g, c, o] = Σ x[n, g, d, o * stride + k * dilation] w[g, c, d, k]` over d and k."""
    dims = len(stride)
    sizes = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[3:], w.shape[3:], stride, dilation, strict=True)
    ]
    place = lowering.new_place((*x.shape[:2], w.shape[1], *sizes), x.dtype)
    n, g, c, *o = loop_variables(3 + dims)
    d, *k = _named("r", 1 + dims)
    value = Call(_PRODUCT, (x.at((n, g, d, *_window(tuple(o), tuple(k), stride, dilation))), w.at((g, c, d, *k))))
    lowering.emit(Accumulate(place, (w.shape[2], *w.shape[3:]), "+", literal(0, x.dtype), value))
    return lowering.value_of(place)


def _spread(
    lowering: Lowering, y: Value, w: Value, sizes: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Value:
    """The transpose of `_correlate`: `x[n, g, d, o * stride + k * dilation] += y[n, g, c, o] w[g, c, d, k]`."""
    dims = len(stride)
    place = lowering.new_place((*y.shape[:2], w.shape[2], *sizes), y.dtype)
    lowering.emit(Loop(place, Literal(literal(0, y.dtype))))
    variables = loop_variables(4 + 2 * dims)
    n, g, c, d = variables[:4]
    o, k = variables[4 : 4 + dims], variables[4 + dims :]
    value = Call(_PRODUCT, (y.at((n, g, c, *o)), w.at((g, c, d, *k))))
    shape = (*y.shape[:3], w.shape[2], *y.shape[3:], *w.shape[3:])
    index = place.at((n, g, d, *_window(o, k, stride, dilation)))
    lowering.emit(ScatterAdd(shape, place.array, index, value, True))
    return lowering.value_of(place)


def _kernel_gradient(
    lowering: Lowering, x: Value, y: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Value:
    """`w[g, c, d, k] = Σ y[n, g, c, o] x[n, g, d, o * stride + k * dilation]` over n and o."""
    dims = len(stride)
    place = lowering.new_place((x.shape[1], y.shape[2], x.shape[2], *kernel), x.dtype)
    g, c, d, *k = loop_variables(3 + dims)
    n, *o = _named("r", 1 + dims)
    value = Call(_PRODUCT, (y.at((n, g, c, *o)), x.at((n, g, d, *_window(tuple(o), tuple(k), stride, dilation)))))
    lowering.emit(Accumulate(place, (y.shape[0], *y.shape[3:]), "+", literal(0, x.dtype), value))
    return lowering.value_of(place)


def _cut(lowering: Lowering, a: Value, padding: Sequence[int], sizes: Sequence[int]) -> Value:
    """The last dimensions without their frame."""
    lead = len(a.shape) - len(sizes)

    def remap(indices: Indices) -> Indices:
        return (*indices[:lead], *(i + p for i, p in zip(indices[lead:], padding, strict=True)))

    return lowering.view(a, (*a.shape[:lead], *sizes), remap)


def _ungrouped(lowering: Lowering, a: Value, dim: int) -> Value:
    return lowering.reshape(a, (*a.shape[:dim], a.shape[dim] * a.shape[dim + 1], *a.shape[dim + 2 :]))


@rule("aten.convolution")
def convolution(
    lowering: Lowering,
    x: Value,
    w: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    """The convolution of a batch of channels, or its transpose."""
    dims = len(x.shape) - 2
    stride, padding, dilation = _full(stride, dims), _full(padding, dims), _full(dilation, dims)
    shape = tuple(lowering.result.shape)
    if 0 in (*x.shape, *w.shape):
        not_covered("a convolution without elements")
    kernel = _grouped(lowering, w, 0, groups)
    if transposed:
        sizes = [n + 2 * p for n, p in zip(shape[2:], padding, strict=True)]
        y = _spread(lowering, _grouped(lowering, x, 1, groups), kernel, sizes, stride, dilation)
        y = _cut(lowering, y, padding, shape[2:])
    else:
        frame = _grouped(lowering, _padded(lowering, x, padding, dims), 1, groups)
        y = _correlate(lowering, frame, kernel, stride, dilation)
    y = _ungrouped(lowering, y, 1)
    if bias is None:
        return y
    spread = lowering.broadcast(lowering.reshape(bias, (bias.size, *[1] * dims)), shape)
    return lowering.pointwise(shape, y.dtype, "({0} + {1})", [y, spread])


@rule("aten.convolution_backward")
def convolution_backward(
    lowering: Lowering,
    dy: Value,
    x: Value,
    w: Value,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    mask: Sequence[bool],
) -> tuple[Value | None, Value | None, Value | None]:
    """The gradients of the input, the kernel and the bias."""
    dims = len(x.shape) - 2
    stride, padding, dilation = _full(stride, dims), _full(padding, dims), _full(dilation, dims)
    dy = lowering.realise(dy)
    kernel = _grouped(lowering, w, 0, groups)
    dx = dw = db = None
    # the transposed convolution is the other one with input and output changed
    small, large = (x, dy) if transposed else (dy, x)
    if mask[1] or transposed:
        large = _grouped(lowering, _padded(lowering, large, padding, dims), 1, groups)
    small = _grouped(lowering, small, 1, groups)
    if mask[0] and transposed:
        dx = _ungrouped(lowering, _cut(lowering, _correlate(lowering, large, kernel, stride, dilation),
                                       [0] * dims, x.shape[2:]), 1)  # fmt: skip
    elif mask[0]:
        sizes = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
        frame = _spread(lowering, small, kernel, sizes, stride, dilation)
        dx = _ungrouped(lowering, _cut(lowering, frame, padding, x.shape[2:]), 1)
    if mask[1]:
        dw = _ungrouped(lowering, _kernel_gradient(lowering, large, small, w.shape[2:], stride, dilation), 0)
    if mask[2]:
        db = reduce(lowering, dy, [0, *range(2, 2 + dims)], "+", 0)
    return dx, dw, db


# ---- pooling


def _pooling(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int] | int, ceil_mode: bool, include: bool,
    divisor: int | None,
) -> tuple[list[int], list[int], list[int], int]:  # fmt: skip
    """Kernel, stride and padding of both dimensions, and what is divided by."""
    kernel = _full(kernel, 2)
    padding = _full([padding] if isinstance(padding, int) else padding, 2)
    if ceil_mode or (any(padding) and not include):
        not_covered("windows that reach over the border")
    return kernel, _full(stride, 2) if stride else kernel, padding, divisor or math.prod(kernel)


@rule("aten.avg_pool2d")
def avg_pool2d(
    lowering: Lowering,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """Means over windows."""
    kernel, stride, padding, divisor = _pooling(kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if not x.dtype.is_floating_point:
        not_covered("means of integers")
    frame = _padded(lowering, x, padding, 2)
    shape = tuple(lowering.result.shape)
    place = lowering.new_place(shape, x.dtype)
    *lead, o0, o1 = loop_variables(len(shape))
    value = frame.at((*lead, *_window((o0, o1), _named("r", 2), stride, [1, 1])))
    lowering.emit(Accumulate(place, tuple(kernel), "+", literal(0, x.dtype), value))
    return lowering.pointwise(
        shape, x.dtype, "({0} / {1})", [lowering.value_of(place), lowering.literal(divisor, x.dtype, shape)]
    )


@rule("aten.avg_pool2d_backward")
def avg_pool2d_backward(
    lowering: Lowering,
    dy: Value,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Value:
    """Every element of a window gets an equal share."""
    kernel, stride, padding, divisor = _pooling(kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    dy = lowering.realise(dy)
    lead = len(x.shape) - 2
    sizes = [n + 2 * p for n, p in zip(x.shape[lead:], padding, strict=True)]
    place = lowering.new_place((*x.shape[:lead], *sizes), dy.dtype)
    lowering.emit(Loop(place, Literal(literal(0, dy.dtype))))
    variables = loop_variables(lead + 4)
    outer, o, k = variables[:lead], variables[lead : lead + 2], variables[lead + 2 :]
    value = Call("({0} / {1})", (dy.at((*outer, *o)), Literal(literal(divisor, dy.dtype))))
    index = place.at((*outer, *_window(o, k, stride, [1, 1])))
    lowering.emit(ScatterAdd((*dy.shape, *kernel), place.array, index, value, True))
    return _cut(lowering, lowering.value_of(place), padding, x.shape[lead:])


@rule("aten._adaptive_avg_pool2d_backward")
def adaptive_avg_pool2d_backward(lowering: Lowering, dy: Value, x: Value) -> Value:
    """Every element of a window gets an equal share; windows differ in size."""
    dy = lowering.realise(dy)
    place = lowering.new_place(x.shape, dy.dtype)
    variables = loop_variables(len(x.shape))
    inner = _named("r", 2)
    factors = []
    for k in (0, 1):
        small, large = dy.shape[k - 2], x.shape[k - 2]
        # torch itself says what the shares are: the means of unit vectors
        unit = torch.eye(large, dtype=dy.dtype)[:, None]
        share = lowering.constant(torch.nn.functional.adaptive_avg_pool1d(unit, small)[:, 0].contiguous())
        factors.append(share.at((variables[k - 2], inner[k])))
    value = Call("({0} * {1} * {2})", (dy.at((*variables[:-2], *inner)), *factors))
    lowering.emit(Accumulate(place, dy.shape[-2:], "+", literal(0, dy.dtype), value))
    return lowering.value_of(place)


def _gathered(lowering: Lowering, dy: Value, shape: Sequence[int], sources: Sequence[torch.Tensor]) -> Value:
    """Every element gets the sum over its copies: along the last dimensions element k was copied from `sources[k]`."""
    dy = lowering.realise(dy)
    place = lowering.new_place(shape, dy.dtype)
    lowering.emit(Loop(place, Literal(literal(0, dy.dtype))))
    variables = loop_variables(len(shape))
    lead = len(shape) - len(sources)
    indices = list(variables[:lead])
    for variable, source in zip(variables[lead:], sources, strict=True):
        indices.append(Index(0, ((lowering.constant(source).at((variable,)), 1),)))
    lowering.emit(ScatterAdd(dy.shape, place.array, place.at(tuple(indices)), dy.at(variables), True))
    return lowering.value_of(place)


@rule("aten.upsample_nearest1d_backward", "aten.upsample_nearest2d_backward")
def upsample_nearest_backward(
    lowering: Lowering, dy: Value, output_size: Sequence[int], input_size: Sequence[int], *scales: float | None
) -> Value:
    """Every element gets the sum over its copies."""
    sources = []
    for k, (large, small) in enumerate(zip(output_size, input_size[2:], strict=True)):
        # torch itself says which element is copied where, with its own rounding
        numbers = torch.arange(small, dtype=torch.float64).reshape(1, 1, -1)
        scale = scales[k] if k < len(scales) else None
        sources.append(torch.ops.aten.upsample_nearest1d.default(numbers, [large], scale).reshape(-1).long())
    return _gathered(lowering, dy, input_size, sources)


@rule("aten.replication_pad1d_backward", "aten.replication_pad2d_backward", "aten.replication_pad3d_backward")
def replication_pad_backward(lowering: Lowering, dy: Value, x: Value, padding: Sequence[int]) -> Value:
    """Every element at the border gets the sum over its copies."""
    count = len(x.shape)
    sources = []
    for k in reversed(range(len(padding) // 2)):
        dim = count - 1 - k
        sources.append((torch.arange(dy.shape[dim]) - padding[2 * k]).clamp(0, x.shape[dim] - 1))
    return _gathered(lowering, dy, x.shape, sources)
