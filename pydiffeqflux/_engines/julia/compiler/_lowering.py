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

from ._dtypes import JULIA_TYPES as JULIA_TYPES  # where the engine takes them from
from ._dtypes import check_dtype, literal
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
from ._refusals import NotCoveredError, internal_errors, not_covered
from ._rules import RULES, check_arguments
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


Operand = Value | float
"""An argument that may be a tensor or a number."""


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
        """Lower every operation that an output depends on; returns the values of the outputs.

        Raises:
            CannotCompileError: an operation is not covered, or there is an error in its rule.
        """
        with internal_errors("the lowering of the graph"):
            return self._lower(graph, inputs)

    def _lower(self, graph: GraphModule, inputs: Sequence[Value]) -> list[Any]:
        graph.graph.eliminate_dead_code()
        environment: dict[Node, Any] = {}
        depths: dict[Node, int] = {}
        supply = iter(inputs)
        for node in graph.graph.nodes:
            depth = 0
            if node.op == "placeholder":
                environment[node] = next(supply)
            elif node.op == "get_attr":
                environment[node] = self.constant(captured(graph, str(node.target)))
            elif node.op == "call_function":
                depth = 1 + max((depths[n] for n in node.all_input_nodes), default=0)
                result = self._call(node, environment)
                if _is_computed(result) and _uses(node) > 1:
                    result, depth = self.realise(result), 0
                elif depth == DEEPEST:
                    result, depth = self._flat(result), 0
                environment[node] = result
            elif node.op == "output":
                return [self._output(leaf, environment) for leaf in tree_leaves(node.args[0])]
            depths[node] = depth
        raise AssertionError("a graph has an output")

    def _flat(self, result: Any) -> Any:
        """The same in memory, so that its expressions do not contain those that it was made of."""
        if isinstance(result, Value):
            return self.realise(result) if result.place is None else self.value_of(result.place)
        return type(result)(map(self._flat, result)) if isinstance(result, list | tuple) else result

    def _output(self, leaf: Any, environment: dict[Node, Any]) -> Any:
        if not isinstance(leaf, Node):
            return leaf
        value = environment[leaf]
        if value is None and leaf.meta.get("val") is not None:
            not_covered("a result of an operation that is not made available")
        return value

    def constant(self, tensor: Tensor) -> Value:
        """A tensor that the program is given."""
        shape = tuple(tensor.shape)
        for array, known in self.program.constants.items():
            if known is tensor:
                return self.value_of(Place(array, 0, shape, contiguous_strides(shape)))
        check_dtype(tensor.dtype, stored=True)
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_neg():
            # a bit of the tensor may say that its memory holds the negative numbers
            raise CannotCompileError("it uses a tensor that is not laid out in the memory of the CPU as a dense one")
        array = Array(f"c{len(self.program.constants) + 1}", tensor.numel(), tensor.dtype, "constant")
        self.program.constants[array] = tensor
        return self.value_of(Place(array, 0, shape, contiguous_strides(shape)))

    def _call(self, node: Node, environment: dict[Node, Any]) -> Any:
        arguments: Any = torch.fx.map_arg(node.args, lambda n: environment[n])
        keywords: Any = torch.fx.map_arg(node.kwargs, lambda n: environment[n])
        if node.target is operator.getitem:
            return arguments[0][arguments[1]]
        name = operation_name(node.target)
        try:
            return self._apply(name, node, arguments, keywords)
        except CannotCompileError as error:
            error.operation = error.operation or name
            raise

    def _apply(self, name: str, node: Node, arguments: Any, keywords: Any) -> Any:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise CannotCompileError(f"it draws random numbers, by {name}")
        if name == "aten._local_scalar_dense":
            raise CannotCompileError(f"{VALUES} (a tensor is made a number)")
        if name not in RULES:
            raise CannotCompileError(f"there is no rule for the operation {name}")
        self.result = node.meta.get("val")
        self.operands = torch.fx.map_arg(node.args, _example)
        if isinstance(self.result, Tensor):
            check_dtype(self.result.dtype)
        try:
            with internal_errors(f"the rule for {name}"):
                check_arguments(RULES[name], (self, *arguments), keywords)
                result: Any = RULES[name](self, *arguments, **keywords)
                _check_result(result, self.result)
        except NotCoveredError as error:
            raise CannotCompileError(f"{name} is used in a way that is not covered ({error.reason})") from None
        return result


DEEPEST = 32
"""Of so many operations an expression may be made; those of deeper ones would exceed Python's limit of recursion."""


def _example(node: Node) -> Any:
    """A tensor of the shape and strides of a value."""
    if node.op == "get_attr" and node.graph.owning_module is not None:
        return captured(node.graph.owning_module, str(node.target))
    return node.meta.get("val")


def _is_computed(result: Any) -> bool:
    """Whether every use of it is work."""
    return isinstance(result, Value) and result.place is None and not result.cheap


def _check_result(result: Any, expected: Any) -> None:
    """That a rule gives what torch gives; parts that are `None` are not made available."""
    if isinstance(expected, list | tuple):
        assert len(result) == len(expected), f"it gives {len(result)} results where torch gives {len(expected)}"
        for part, expected_part in zip(result, expected, strict=True):
            _check_result(part, expected_part)
    elif isinstance(expected, Tensor) and result is not None:
        found, wanted = (result.shape, result.dtype), (tuple(expected.shape), expected.dtype)
        assert found == wanted, f"it gives {found} where torch gives {wanted}"
        result.at(loop_variables(len(result.shape)))  # so that an error in its expression is known to be of this rule


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


def _is_contiguous(place: Place) -> bool:
    return all(
        size == 1 or stride == expected
        for size, stride, expected in zip(place.shape, place.strides, contiguous_strides(place.shape), strict=True)
    )


def position(index: Index) -> Expr:
    """An index as a number."""
    return Literal(str(index.constant)) if not index.terms else Position(index)
