"""Which line of the user's code calls an operation."""

import contextlib
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...._functions import innermost_line

A_WRITE = "a write in place to a tensor that the function has not made"
"""What `locate` is asked for in the place of an operation's name."""


def operation_name(operation: Any) -> str:
    """`prims.add` for any overload of it."""
    return str(operation).rsplit(".", 1)[0] if isinstance(operation, torch._ops.OpOverload) else str(operation)


def locate(function: Callable[..., Any], arguments: Iterable[Tensor], operation: str) -> str:
    """The first line that calls an operation; empty where none does by that name.

    The function runs once more, on tensors that have no contents, so that nothing of the user's is written to.
    """
    watch = _Watch(operation)
    # whatever it raises: the line may have been passed before
    with contextlib.suppress(Exception), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake, watch:
        function(*(fake.from_tensor(argument) for argument in arguments))
    return watch.line


class _Watch(TorchDispatchMode):
    """Notes where an operation is called first."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.line = ""
        self._operation = operation.rstrip("_")
        self._made: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.line and self._is_meant(func, args):
            self.line = innermost_line(traceback.extract_stack())
        result = func(*args, **(kwargs or {}))
        if not any(returned.alias_info for returned in func._schema.returns) or id(args[0]) in self._made:
            self._made |= {id(leaf): leaf for leaf in tree_leaves(result)}  # kept, so that no id is used again
        return result

    def _is_meant(self, func: Any, args: Any) -> bool:
        if self._operation == A_WRITE:
            return func._schema.is_mutable and id(args[0]) not in self._made
        return operation_name(func).rstrip("_") == self._operation
