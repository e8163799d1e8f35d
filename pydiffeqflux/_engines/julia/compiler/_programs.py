"""The functions that the solvers need of a user function, as programs of named flat arrays."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from . import (  # noqa: F401 - they register their rules
    _convolution_rules,
    _indexing_rules,
    _matrix_rules,
    _pointwise_rules,
    _reduction_rules,
    _view_rules,
)
from ._lowering import Lowering, Value
from ._program import Array, Place, Program, contiguous_strides
from ._rules import RULES
from ._trace import CannotCompileError, trace
from ._traced import BoundFunction

States = Sequence[Tensor]
Tensors = list[Tensor]


def derivative_program(f: BoundFunction) -> Program:
    """`(out, u, p, t)`: out becomes f(u, p, t)."""
    like = f.inputs.like

    def call(states: States, leaves: Tensors, parameters: Tensors, t: Tensor) -> tuple[Tensor]:
        result = f(states, leaves, parameters, t)
        if not isinstance(result, Tensor) or result.shape != like.shape or result.dtype != like.dtype:
            raise CannotCompileError("it does not always return a tensor of the same shape and dtype")
        return (result,)

    return _program(f, call, [], [like.numel()])


def pull_state_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes λᵀ ∂f/∂u."""

    def pull(λ: Tensor, states: States, leaves: Tensors, parameters: Tensors, t: Tensor) -> tuple[Tensor, ...]:
        vjp = torch.func.vjp(lambda *x: f(x, leaves, parameters, t), *states)[1]
        return vjp(λ)

    return _program(f, pull, [f.inputs.like], _state_sizes(f))


def pull_parameters_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes λᵀ ∂f/∂p, for all leaves and captured parameters one after the other."""

    def pull(λ: Tensor, states: States, leaves: Tensors, parameters: Tensors, t: Tensor) -> tuple[Tensor, ...]:
        if not (leaves or parameters):
            return _nothing(λ)
        vjp = torch.func.vjp(lambda x, y: f(states, x, y, t), leaves, parameters)[1]
        dleaves, dparameters = vjp(λ)
        return (*dleaves, *dparameters)

    return _program(f, pull, [f.inputs.like], _parameter_sizes(f))


def pull_both_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes what `pull_state` makes, and behind it what `pull_parameters` makes."""

    def pull(λ: Tensor, states: States, leaves: Tensors, parameters: Tensors, t: Tensor) -> tuple[Tensor, ...]:
        vjp = torch.func.vjp(lambda w, x, y: f(w, x, y, t), list(states), leaves, parameters)[1]
        dstates, dleaves, dparameters = vjp(λ)
        return (*dstates, *((*dleaves, *dparameters) or _nothing(λ)))

    return _program(f, pull, [f.inputs.like], [*_state_sizes(f), *_parameter_sizes(f)])


def pull_tangent_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: what `pull_both` makes, of `∂f/∂u g + ∂f/∂t τ` in the place of `f`; λ holds (λ, g, τ).

    It is the derivative along (g, τ) of the vector-Jacobian product with λ, so forward mode is not needed.
    """

    def pull(
        λ: Tensor, g: Tensor, τ: Tensor, states: States, leaves: Tensors, parameters: Tensors, t: Tensor
    ) -> tuple[Tensor, ...]:
        def product(w: Tensor, x: Tensors, y: Tensors) -> tuple[Tensor, Tensor]:
            return torch.func.vjp(lambda v, s: f([v], x, y, s), w, t)[1](λ)

        (u,) = states
        vjp = torch.func.vjp(product, u, leaves, parameters)[1]
        du, dleaves, dparameters = vjp((g, τ))
        return du, *((*dleaves, *dparameters) or _nothing(λ))

    (u,) = f.inputs.states.values()
    return _program(f, pull, [u, u, f.inputs.t], [u.numel(), *_parameter_sizes(f)])


def _state_sizes(f: BoundFunction) -> list[int]:
    return [x.numel() for x in f.inputs.states.values()]


def _parameter_sizes(f: BoundFunction) -> list[int]:
    return [q.numel() for q in (*f.inputs.leaves, *f.parameters)] or [1]


def _nothing(λ: Tensor) -> tuple[Tensor]:
    """The gradient of no parameters: Julia's vector of them is never empty."""
    return (0.0 * λ.reshape(-1)[:1],)


def _program(f: BoundFunction, function: Callable[..., Any], before: list[Tensor], sizes: list[int]) -> Program:
    """Trace and lower a function of `(*before, states, leaves, parameters, t)` whose results fill one flat output."""
    inputs = f.inputs
    graph = _graph(f, function, before)
    dtype = next(iter(inputs.states.values())).dtype
    out = Array("out", sum(sizes), dtype, "argument")
    cotangent = [Array("λ", sum(tensor.numel() for tensor in before), dtype, "argument")] if before else []
    states = [Array(name, tensor.numel(), dtype, "argument") for name, tensor in inputs.states.items()]
    flat = [*inputs.leaves, *f.parameters]
    p = Array("p", sum(q.numel() for q in flat), dtype, "argument")
    time = Array("t", 1, torch.float64, "argument")
    program = Program([out, *cotangent, *states, p, time])
    lowering = Lowering(program)

    def whole(array: Array, tensor: Tensor, offset: int = 0) -> Value:
        shape = tuple(tensor.shape)
        return lowering.value_of(Place(array, offset, shape, contiguous_strides(shape)))

    def split(array: Array, tensors: Sequence[Tensor]) -> list[Value]:
        """The tensors that lie one behind the other in an array."""
        ends = accumulate(tensor.numel() for tensor in tensors)
        return [whole(array, tensor, end - tensor.numel()) for tensor, end in zip(tensors, ends, strict=True)]

    values = split(cotangent[0], before) if before else []
    values += [whole(array, tensor) for array, tensor in zip(states, inputs.states.values(), strict=True)]
    values += split(p, flat)
    values.append(_time_value(lowering, whole(time, inputs.t), dtype))
    start = 0
    for result, size in zip(lowering.lower(graph, values), sizes, strict=True):
        if size:
            _write(lowering, result, out, start, size)
        start += size
    return program


def _time_value(lowering: Lowering, t: Value, dtype: torch.dtype) -> Value:
    return t if dtype == torch.float64 else lowering.pointwise((), dtype, "TorchMath.convert(Float32, {0})", [t])


def _write(lowering: Lowering, result: Any, out: Array, start: int, size: int) -> None:
    if not isinstance(result, Value):  # no dependence
        result = lowering.literal(0.0, out.dtype, (size,))
    if result.dtype != out.dtype:
        raise CannotCompileError(f"a result has dtype {result.dtype} in the place of {out.dtype}")
    place = Place(out, start, result.shape, contiguous_strides(result.shape))
    lowering.store(result, place)


def _graph(f: BoundFunction, function: Callable[..., Any], before: list[Tensor]) -> GraphModule:
    """The decomposed graph of a function of `(*before, states, leaves, parameters, t)`, its arguments flat."""
    inputs = f.inputs
    groups = [before, list(inputs.states.values()), inputs.leaves, f.parameters]
    ends = list(accumulate(map(len, groups)))

    def flat(*tensors: Tensor) -> Any:
        first, states, leaves, parameters = (
            list(tensors[end - len(group) : end]) for group, end in zip(groups, ends, strict=True)
        )
        return function(*first, states, leaves, parameters, tensors[-1])

    return trace(flat, (*(tensor for group in groups for tensor in group), inputs.t), keep=RULES)
