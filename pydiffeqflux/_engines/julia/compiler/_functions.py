"""The functions of a right-hand side that the solvers need, as programs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from . import (  # noqa: F401 - they register their rules
    _convolution_rules,
    _indexing_rules,
    _matrix_rules,
    _pointwise_rules,
    _reduction_rules,
    _view_rules,
)
from ._location import A_WRITE
from ._lowering import RULES, Lowering, Value
from ._observer import Observer
from ._program import Array, Place, Program, contiguous_strides
from ._trace import WRITES_OUTSIDE, CannotCompileError, captured, trace


@dataclass(frozen=True)
class Inputs:
    """What a right-hand side is a function of: tensors of the right shape and dtype, whose contents do not count.

    Attributes:
        u: a state.
        leaves: the tensors of `p`.
        t: a time.
    """

    u: Tensor
    leaves: list[Tensor]
    t: Tensor

    def without_contents(self) -> "Inputs":
        """The same shapes and dtypes on next to no memory."""
        return Inputs(_empty_like(self.u), list(map(_empty_like, self.leaves)), _empty_like(self.t))


def _empty_like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(()).expand(tensor.shape)


Source = int | Tensor
"""Where a captured tensor comes from: its position among those that the function reads, or itself where it has none."""


class TracedFunction:
    """A right-hand side as a graph whose captured tensors are arguments.

    It serves for all functions that do the same with other tensors, of which it keeps none alive.

    Arguments:
        function: the function of a state, the tensors of `p` and a time.
        inputs: tensors to trace it with.
        tensors: those that the function may read beside them.
        wanted: captured tensors that are to belong to the flat parameters.

    Attributes:
        inputs: those that it was traced with, without contents.
        reads: captured tensors whose contents the graph takes to be constant, since they were made Python numbers.
    """

    def __init__(
        self,
        function: Callable[[Tensor, list[Tensor], Tensor], Tensor],
        inputs: Inputs,
        tensors: Sequence[Tensor] = (),
        wanted: Sequence[Tensor] = (),
    ) -> None:
        self.inputs = inputs.without_contents()
        observer = Observer(_flat(function, len(inputs.leaves)))
        # in torch's own operations, which can be differentiated again
        self._graph = trace(observer, (inputs.u, *inputs.leaves, inputs.t), decompose=False)
        if any(_writes_to(user, node) for node in self._attributes() for user in node.users):
            raise CannotCompileError(WRITES_OUTSIDE, operation=A_WRITE)
        observer.note_reads(self._graph)
        self._graph.graph.eliminate_dead_code()
        self.reads = sources(observer.reads, tensors)
        known = {id(q) for q in wanted}
        found = self._take_captured()
        self._names = [name for name, tensor in found.items() if id(tensor) in known]
        self._sources = dict(zip(found, sources(found.values(), tensors), strict=True))

    def _take_captured(self) -> dict[str, Tensor]:
        """The tensors behind the attributes of the graph, which gives them up."""
        tensors = {str(node.target): captured(self._graph, str(node.target)) for node in self._attributes()}
        names = {id(tensor): name for name, tensor in tensors.items()}
        for node in self._attributes():
            node.target = names[id(tensors[str(node.target)])]  # one name for each tensor
        for name in tensors:
            delattr(self._graph, name)
        return {name: tensors[name] for name in names.values()}

    def _attributes(self) -> Iterable[Node]:
        return self._graph.graph.find_nodes(op="get_attr")

    def parameters(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Those of the tensors that belong to the flat parameters, behind the leaves of `p`."""
        return [take(self._sources[name], tensors) for name in self._names]

    def bind(self, tensors: Sequence[Tensor]) -> "BoundFunction":
        """The function with those tensors in the place of the ones that it was traced with."""
        values = {name: take(source, tensors) for name, source in self._sources.items()}
        return BoundFunction(self._graph, self.inputs, self._names, values)


def sources(captured_tensors: Iterable[Tensor], tensors: Sequence[Tensor]) -> list[Source]:
    """Where captured tensors are to be taken from another time, given those that the function reads now."""
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    return [positions.get(id(tensor), tensor) for tensor in captured_tensors]


def take(source: Source, tensors: Sequence[Tensor]) -> Tensor:
    """A captured tensor, given those that the function reads."""
    return tensors[source] if isinstance(source, int) else source


class BoundFunction:
    """A traced function with its tensors.

    Attributes:
        inputs: as of the traced function.
        parameters: the captured tensors that belong to the flat parameters, behind the leaves of `p`.
    """

    def __init__(self, graph: GraphModule, inputs: Inputs, names: list[str], tensors: dict[str, Tensor]) -> None:
        self.inputs = inputs
        self.parameters = [tensors[name] for name in names]
        self._graph, self._names, self._tensors = graph, names, tensors

    def __call__(self, u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> Tensor:
        """The function with other values of the captured parameters."""
        tensors = self._tensors | dict(zip(self._names, parameters, strict=True))
        return _Interpreter(self._graph, tensors).run(u, *leaves, t)


def _writes_to(user: Node, node: Node) -> bool:
    schema = getattr(user.target, "_schema", None)
    return schema is not None and schema.is_mutable and user.args[0] is node


def _flat(function: Callable[[Tensor, list[Tensor], Tensor], Tensor], count: int) -> Callable[..., Tensor]:
    def flat(u: Tensor, *rest: Tensor) -> Tensor:
        return function(u, list(rest[:count]), rest[count])

    return flat


class _Interpreter(torch.fx.Interpreter):
    """Runs a graph with its attributes taken from elsewhere."""

    def __init__(self, graph: GraphModule, tensors: dict[str, Tensor]) -> None:
        super().__init__(graph)
        self._tensors = tensors

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._tensors[target]


def derivative_program(f: BoundFunction) -> Program:
    """`(du, u, p, t)`: du becomes f(u, p, t)."""
    n = f.inputs.u.numel()

    def call(u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> tuple[Tensor]:
        result = f(u, leaves, parameters, t)
        if not isinstance(result, Tensor) or result.shape != u.shape or result.dtype != u.dtype:
            raise CannotCompileError("it does not return a tensor like u")
        return (result,)

    return _program(f, call, [], [n])


def pull_state_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes λᵀ ∂f/∂u."""

    def pull(λ: Tensor, u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> tuple[Tensor, ...]:
        vjp = torch.func.vjp(lambda x: f(x, leaves, parameters, t), u)[1]
        return vjp(λ)

    return _program(f, pull, [f.inputs.u], [f.inputs.u.numel()])


def pull_parameters_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes λᵀ ∂f/∂p, for all leaves and captured parameters one after the other."""

    def pull(λ: Tensor, u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> tuple[Tensor, ...]:
        if not (leaves or parameters):
            return _nothing(λ)
        vjp = torch.func.vjp(lambda x, y: f(u, x, y, t), leaves, parameters)[1]
        dleaves, dparameters = vjp(λ)
        return (*dleaves, *dparameters)

    return _program(f, pull, [f.inputs.u], _parameter_sizes(f))


def pull_both_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: out becomes what `pull_state` makes, and behind it what `pull_parameters` makes."""

    def pull(λ: Tensor, u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> tuple[Tensor, ...]:
        vjp = torch.func.vjp(lambda w, x, y: f(w, x, y, t), u, leaves, parameters)[1]
        du, dleaves, dparameters = vjp(λ)
        return du, *((*dleaves, *dparameters) or _nothing(λ))

    return _program(f, pull, [f.inputs.u], [f.inputs.u.numel(), *_parameter_sizes(f)])


def pull_tangent_program(f: BoundFunction) -> Program:
    """`(out, λ, u, p, t)`: what `pull_both` makes, of `∂f/∂u g + ∂f/∂t τ` in the place of `f`; λ holds (λ, g, τ).

    It is the derivative along (g, τ) of the vector-Jacobian product with λ, so forward mode is not needed.
    """

    def pull(
        λ: Tensor, g: Tensor, τ: Tensor, u: Tensor, leaves: list[Tensor], parameters: list[Tensor], t: Tensor
    ) -> tuple[Tensor, ...]:
        def product(w: Tensor, x: list[Tensor], y: list[Tensor]) -> tuple[Tensor, Tensor]:
            return torch.func.vjp(lambda v, s: f(v, x, y, s), w, t)[1](λ)

        vjp = torch.func.vjp(product, u, leaves, parameters)[1]
        du, dleaves, dparameters = vjp((g, τ))
        return du, *((*dleaves, *dparameters) or _nothing(λ))

    return _program(f, pull, [f.inputs.u, f.inputs.u, f.inputs.t], [f.inputs.u.numel(), *_parameter_sizes(f)])


def _parameter_sizes(f: BoundFunction) -> list[int]:
    return [q.numel() for q in (*f.inputs.leaves, *f.parameters)] or [1]


def _nothing(λ: Tensor) -> tuple[Tensor]:
    """The gradient of no parameters: Julia's vector of them is never empty."""
    return (0.0 * λ.reshape(-1)[:1],)


def _program(f: BoundFunction, function: Callable[..., Any], before: list[Tensor], sizes: list[int]) -> Program:
    """Trace and lower a function of `(*before, u, leaves, parameters, t)` whose results fill one flat output."""
    u, leaves, t = f.inputs.u, f.inputs.leaves, f.inputs.t
    graph = trace_function(function, (*before, u, leaves, f.parameters, t), len(before))
    dtype = u.dtype
    out = Array("out", sum(sizes), dtype, "argument")
    cotangent = [Array("λ", sum(tensor.numel() for tensor in before), dtype, "argument")] if before else []
    state = Array("u", u.numel(), dtype, "argument")
    flat = [*leaves, *f.parameters]
    p = Array("p", sum(q.numel() for q in flat), dtype, "argument")
    time = Array("t", 1, torch.float64, "argument")
    program = Program([out, *cotangent, state, p, time])
    lowering = Lowering(program)

    def whole(array: Array, tensor: Tensor, offset: int = 0) -> Value:
        shape = tuple(tensor.shape)
        return lowering.value_of(Place(array, offset, shape, contiguous_strides(shape)))

    def split(array: Array, tensors: Sequence[Tensor]) -> list[Value]:
        """The tensors that lie one behind the other in an array."""
        ends = accumulate(tensor.numel() for tensor in tensors)
        return [whole(array, tensor, end - tensor.numel()) for tensor, end in zip(tensors, ends, strict=True)]

    values = [*(split(cotangent[0], before) if before else ()), whole(state, u), *split(p, flat)]
    values.append(_time_value(lowering, whole(time, t), dtype))
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


def trace_function(function: Callable[..., Any], arguments: tuple[Any, ...], lead: int) -> GraphModule:
    """The decomposed graph of `function(*before, u, leaves, parameters, t)`, its arguments flat."""
    *before, u, leaves, parameters, t = arguments

    def flat(*tensors: Tensor) -> Any:
        first, rest = tensors[: lead + 1], tensors[lead + 1 :]
        return function(*first, list(rest[: len(leaves)]), list(rest[len(leaves) : -1]), rest[-1])

    return trace(flat, (*before, u, *leaves, *parameters, t), keep=RULES)
