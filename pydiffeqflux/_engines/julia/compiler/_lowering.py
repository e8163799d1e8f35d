"""From a traced graph to a program of loops."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from ._location import operation_name
from ._program import (
    Array,
    Call,
    Expr,
    Index,
    Indices,
    Literal,
    Load,
    Loop,
    Place,
    Position,
    Program,
    Statement,
    contiguous_strides,
)
from ._trace import VALUES, CannotCompileError, captured


@dataclass(eq=False)
class Value:
    """A tensor in the program: an expression of its indices, and the memory that holds it where there is some.

    Attributes:
        shape, dtype: those of the tensor.
        at: the expression at some indices.
        place: where it lies, `None` where it is computed at each use.
        cheap: whether computing it again costs nothing to speak of.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    at: Callable[[Indices], Expr]
    place: Place | None = None
    cheap: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""What is done for each operation of the graph, by its name, `prims.add` or `aten.mm`."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function of `(lowering, *arguments)` for some operations."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


class Lowering:
    """Lowers one graph. Rules call it to make values and statements.

    Attributes:
        program: what has been made so far.
        result: the fake tensor that the operation at hand returns in torch: its shape and dtype.
        operands: its arguments likewise.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.result: Any = None
        self.operands: Any = ()
        self._counter = 0

    # ---- values

    def value_of(self, place: Place) -> Value:
        """The value that lies at a place."""
        return Value(
            place.shape, place.array.dtype, lambda indices: Load(place.array, place.at(indices)), place, cheap=True
        )

    def pointwise(self, shape: Sequence[int], dtype: torch.dtype, template: str, arguments: Sequence[Value]) -> Value:
        """A Julia expression of values of the same shape."""
        return Value(
            tuple(shape), dtype, lambda indices: Call(template, tuple(value.at(indices) for value in arguments))
        )

    def elementwise(self, template: str, *arguments: Any) -> Value:
        """A Julia expression of the arguments, numbers among them, which are broadcast to the shape of the result."""
        shape, dtype = tuple(self.result.shape), self.result.dtype
        common = [x.dtype for x in arguments if isinstance(x, Value)]
        scalar_dtype = _promoted(common) if common else dtype
        values = [
            self.broadcast(x, shape) if isinstance(x, Value) else self.literal(x, scalar_dtype, shape)
            for x in arguments
        ]
        return self.pointwise(shape, dtype, template, values)

    def broadcast(self, value: Value, shape: Sequence[int]) -> Value:
        """The value with dimensions of size 1 repeated and missing ones put in front."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        if not value.cheap and math.prod(shape) > value.size:
            value = self.realise(value)
        lead = len(shape) - len(value.shape)
        repeated = [size == 1 and shape[lead + k] != 1 for k, size in enumerate(value.shape)]

        def at(indices: Indices) -> Expr:
            return value.at(tuple(Index() if r else i for i, r in zip(indices[lead:], repeated, strict=True)))

        place = None
        if value.place is not None:
            strides = tuple(0 if r else s for s, r in zip(value.place.strides, repeated, strict=True))
            place = Place(value.place.array, value.place.offset, shape, (0,) * lead + strides)
        return Value(shape, value.dtype, at, place, value.cheap)

    def view(self, value: Value, shape: Sequence[int], remap: Callable[[Indices], Indices]) -> Value:
        """Another arrangement of the same elements: `remap` takes indices of the result to indices of `value`."""
        shape = tuple(shape)
        place = None
        if value.place is not None:
            origin = remap((Index(),) * len(shape))
            offset = value.place.at(origin).constant
            strides = tuple(
                value.place.at(remap(tuple(Index(int(k == d)) for k in range(len(shape))))).constant - offset
                for d in range(len(shape))
            )
            place = Place(value.place.array, offset, shape, strides)
        return Value(shape, value.dtype, lambda indices: value.at(remap(indices)), place, value.cheap)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements in row-major order in another shape."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        kept = [k for k, size in enumerate(value.shape) if size != 1]
        fresh = [k for k, size in enumerate(shape) if size != 1]
        if [value.shape[k] for k in kept] == [shape[k] for k in fresh]:
            # only dimensions of size 1 come or go

            def remap(indices: Indices) -> Indices:
                result = [Index()] * len(value.shape)
                for old, new in zip(kept, fresh, strict=True):
                    result[old] = indices[new]
                return tuple(result)

            return self.view(value, shape, remap)
        place = self.contiguous(value).place
        assert place is not None
        return self.value_of(Place(place.array, place.offset, shape, contiguous_strides(shape)))

    def literal(self, number: float | bool, dtype: torch.dtype, shape: Sequence[int] = ()) -> Value:
        """The same number everywhere."""
        text = literal(number, dtype)
        return Value(tuple(shape), dtype, lambda indices: Literal(text), cheap=True)

    def new_place(self, shape: Sequence[int], dtype: torch.dtype) -> Place:
        """Fresh memory."""
        check_dtype(dtype, stored=True)
        self._counter += 1
        shape = tuple(shape)
        array = Array(f"b{self._counter}", math.prod(shape), dtype, "buffer")
        self.program.buffers.append(array)
        return Place(array, 0, shape, contiguous_strides(shape))

    def emit(self, statement: Statement) -> None:
        """Append a statement."""
        self.program.statements.append(statement)

    def store(self, value: Value, place: Place) -> None:
        """Compute a value into memory."""
        self.emit(Loop(place, value.at(loop_variables(len(place.shape)))))

    def realise(self, value: Value) -> Value:
        """The value, computed into memory where it is not."""
        if value.place is not None:
            return value
        place = self.new_place(value.shape, value.dtype)
        self.store(value, place)
        return self.value_of(place)

    def place_of(self, value: Value) -> Place:
        """Where the value lies, after `realise`."""
        place = self.realise(value).place
        assert place is not None
        return place

    def contiguous(self, value: Value) -> Value:
        """The value in row-major memory without gaps."""
        value = self.realise(value)
        place = value.place
        assert place is not None
        if _is_contiguous(place):
            return value
        fresh = self.new_place(value.shape, value.dtype)
        self.store(value, fresh)
        return self.value_of(fresh)

    # ---- graphs

    def lower(self, graph: GraphModule, inputs: Sequence[Value]) -> list[Any]:
        """Lower every operation that an output depends on; returns the values of the outputs."""
        graph.graph.eliminate_dead_code()
        environment: dict[Node, Any] = {}
        supply = iter(inputs)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                environment[node] = next(supply)
            elif node.op == "get_attr":
                environment[node] = self.constant(captured(graph, str(node.target)))
            elif node.op == "call_function":
                result = self._call(node, environment)
                if isinstance(result, Value) and result.place is None and not result.cheap and _uses(node) > 1:
                    result = self.realise(result)
                environment[node] = result
            elif node.op == "output":
                flat = tree_leaves(node.args[0])
                return [environment[leaf] if isinstance(leaf, Node) else leaf for leaf in flat]
        raise AssertionError("a graph has an output")

    def constant(self, tensor: Tensor) -> Value:
        """A tensor that the program is given."""
        for array, known in self.program.constants.items():
            if known is tensor:
                return self.value_of(Place(array, 0, tuple(tensor.shape), contiguous_strides(tuple(tensor.shape))))
        array = Array(f"c{len(self.program.constants) + 1}", tensor.numel(), tensor.dtype, "constant")
        check_dtype(tensor.dtype, stored=True)
        self.program.constants[array] = tensor
        return self.value_of(Place(array, 0, tuple(tensor.shape), contiguous_strides(tuple(tensor.shape))))

    def _call(self, node: Node, environment: dict[Node, Any]) -> Any:
        arguments: Any = torch.fx.map_arg(node.args, lambda n: environment[n])
        keywords: Any = torch.fx.map_arg(node.kwargs, lambda n: environment[n])
        if node.target is operator.getitem:
            return arguments[0][arguments[1]]
        name = operation_name(node.target)
        try:
            return self._apply(name, node, arguments, keywords)
        except CannotCompileError as error:
            raise CannotCompileError(error.reason, error.where, error.operation or name) from None

    def _apply(self, name: str, node: Node, arguments: Any, keywords: Any) -> Any:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise CannotCompileError(f"it draws random numbers, by {name}")
        if name == "aten._local_scalar_dense":
            raise CannotCompileError(f"{VALUES} (a tensor is made a number)")
        if name not in RULES:
            raise CannotCompileError(f"there is no rule for the operation {name}")
        self.result = node.meta.get("val")
        self.operands = torch.fx.map_arg(node.args, lambda n: n.meta.get("val"))
        try:
            if isinstance(self.result, Tensor):
                check_dtype(self.result.dtype)
            result: Any = RULES[name](self, *arguments, **keywords)
        except CannotCompileError:
            raise
        except _NOT_COVERED as error:
            raise CannotCompileError(f"{name} is used in a way that is not covered ({error})") from error
        if isinstance(result, Value) and isinstance(self.result, Tensor):
            expected = (tuple(self.result.shape), self.result.dtype)
            if (result.shape, result.dtype) != expected:
                raise CannotCompileError(
                    f"the rule for {name} gives {result.shape}, {result.dtype} where torch gives {expected}"
                )
        return result


_NOT_COVERED = (
    TypeError,
    NotImplementedError,
    AssertionError,
    LookupError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RuntimeError,
)
"""What a rule raises when it is called with what it was not written for."""


def _uses(node: Node) -> int:
    """How many times a value is read; an operation may read one argument twice."""
    return sum(_count(user, node) for user in node.users)


def _count(user: Node, node: Node) -> int:
    found = 0

    def visit(n: Node) -> Node:
        nonlocal found
        found += n is node
        return n

    torch.fx.map_arg((user.args, user.kwargs), visit)
    return found


def _promoted(dtypes: Sequence[torch.dtype]) -> torch.dtype:
    result = dtypes[0]
    for dtype in dtypes[1:]:
        result = torch.promote_types(result, dtype)
    return result


def loop_variables(count: int) -> Indices:
    """`i0`, `i1`, ... as indices."""
    return tuple(Index(0, ((f"i{k}", 1),)) for k in range(count))


def literal(number: float | bool, dtype: torch.dtype) -> str:
    """A number of that dtype as Julia writes it."""
    if dtype == torch.bool:
        return "true" if number else "false"
    if not dtype.is_floating_point:
        text = str(int(number)) if dtype == torch.int64 else f"{JULIA_TYPES[dtype]}({int(number)})"
    else:
        name = JULIA_TYPES[dtype]
        # through the type itself, as torch rounds a Python number
        exact = float(torch.tensor(float(number), dtype=dtype))
        if math.isnan(exact):
            return f"{name}(NaN)"
        if math.isinf(exact):
            return f"{name}({'-' if exact < 0 else ''}Inf)"
        text = repr(exact) if dtype == torch.float64 else f"Float32({exact!r})"
    return f"({text})" if text.startswith("-") else text  # -1^2 is -(1^2)


JULIA_TYPES = {
    torch.float64: "Float64",
    torch.float32: "Float32",
    torch.int64: "Int64",
    torch.int32: "Int32",
    torch.bool: "Bool",
}


def check_dtype(dtype: torch.dtype, *, stored: bool = False) -> None:
    """Refuse dtypes that have no place in the program; bytes may be computed with, as `torch.eye` does, not stored."""
    if dtype not in JULIA_TYPES and (stored or dtype != torch.uint8):
        raise CannotCompileError(f"{dtype} is not supported")


def _is_contiguous(place: Place) -> bool:
    return all(
        size == 1 or stride == expected
        for size, stride, expected in zip(place.shape, place.strides, contiguous_strides(place.shape), strict=True)
    )


def position(index: Index) -> Expr:
    """An index as a number."""
    return Literal(str(index.constant)) if not index.terms else Position(index)
