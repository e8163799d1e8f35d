"""From a torch function to a graph of primitive operations."""

import traceback
import warnings
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch._decomp import global_decomposition_table
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ...._debug import without_frames
from ...._functions import innermost_line
from ._decompositions import DIFFERENTIABLE
from ._location import A_WRITE, operation_name


class CannotCompileError(Exception):
    """A function cannot be compiled.

    Attributes:
        reason: what stands in the way, as a phrase.
        where: the line of the user's code, if it is known.
        operation: what `locate` finds the line by, if it is not.
        announced: whether the user has been told.
    """

    def __init__(self, reason: str, where: str = "", operation: str = "") -> None:
        super().__init__(f"{reason} ({where})" if where else reason)
        self.reason = reason
        self.where = where
        self.operation = operation
        self.announced = False

    def at(self, line: str) -> "CannotCompileError":
        """The same with the line of the user's code, to be kept: with its cause, and without frames."""
        found = CannotCompileError(self.reason, line, self.operation)
        found.__cause__ = self.__cause__ and without_frames(self.__cause__)
        return found


VALUES = "it depends on values, not only on shapes"
WRITES_OUTSIDE = "it writes in place to a tensor that is not its own"
_WRITES = (torch.ops.aten.copy_.default, torch.ops.prims.copy_to.default)


def trace(
    function: Callable[..., Any], arguments: tuple[Tensor, ...], keep: Collection[str] = (), *, decompose: bool = True
) -> GraphModule:
    """The graph of a function at the shapes and dtypes of `arguments`, which are not computed with.

    Operations, but those named in `keep`, are decomposed into torch's primitives, unless `decompose` is false; in-place
    ones are replaced by their functional forms. Tensors that the function captures become attributes of the graph. What
    nothing depends on is left in it.

    Raises:
        CannotCompileError: the function branches on values, or cannot be traced for another reason.
    """
    # the tracer knows its arguments by identity, so that one tensor must not stand for two of them
    arguments = tuple(torch.empty_like(argument, memory_format=torch.contiguous_format) for argument in arguments)
    primitives = {
        operation: decomposition
        for operation, decomposition in global_decomposition_table["post_autograd"].items()
        if decompose and isinstance(operation, torch._ops.OpOverload) and operation_name(operation) not in keep
    }
    table = primitives | DIFFERENTIABLE

    def tracer(traced: Callable[..., Any]) -> Callable[..., GraphModule]:
        return make_fx(
            torch.func.functionalize(traced, remove="mutations"),
            decomposition_table=table,
            tracing_mode="fake",
            _allow_non_fake_inputs=True,
        )

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer looks at the gradients of tensors that have none
            graph = tracer(function)(*arguments)
            if any(node.target in _WRITES for node in graph.graph.nodes):
                graph = tracer(graph)(*arguments)  # some decompositions write in place themselves
    except (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode) as error:
        raise CannotCompileError(VALUES, _line_of(error)) from error
    except CannotCompileError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        if "mutating a non-functional tensor" in first or "mutate a captured Tensor" in first:
            raise CannotCompileError(WRITES_OUTSIDE, operation=A_WRITE) from error
        raise CannotCompileError(f"torch cannot trace it: {first.split('. ')[0]}", _line_of(error)) from error
    for node in graph.graph.nodes:
        if node.target in _WRITES:
            raise CannotCompileError(WRITES_OUTSIDE, operation=A_WRITE)
    return graph


def _line_of(error: BaseException) -> str:
    return innermost_line(traceback.extract_tb(error.__traceback__))


def captured(graph: GraphModule, name: str) -> Tensor:
    """The tensor behind an attribute of the graph."""
    value: Any = graph
    for part in name.split("."):
        value = getattr(value, part)
    return value
