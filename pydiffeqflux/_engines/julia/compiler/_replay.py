"""A traced function, run again operation by operation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ...._functions import PureFunction


class Replay:
    """A traced function of its flat arguments, at some captured tensors.

    Attributes:
        line: the line of the user's code that the operation came from which has failed, empty where none has.
    """

    def __init__(self, function: PureFunction, inputs: Sequence[Tensor]) -> None:
        self.line = ""
        self._function, self._inputs = function, inputs

    def __call__(self, *arguments: Tensor) -> Tensor:
        pairs = zip(self._inputs, self._function.roles, strict=True)
        inputs = [x if role < 0 else arguments[role] for x, role in pairs]
        result = _Interpreter(self).run(*inputs)[0]
        self.line = ""
        return result


class _Interpreter(torch.fx.Interpreter):
    """Notes where in the user's code it is."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay._function.graph)
        self.extra_traceback = False  # of our errors, which say it in their own words
        self._replay = replay

    def run_node(self, n: Node) -> Any:
        if n.stack_trace:
            self._replay.line = _last_line(n.stack_trace)
        return super().run_node(n)


def _last_line(stack: str) -> str:
    """The innermost frame of a formatted stack, in one line."""
    *_, place, code = ["", "", *(line.strip() for line in stack.strip().splitlines() if "^^" not in line)]
    file, _, rest = place.removeprefix("File ").partition(", line ")
    return f"{file.strip(chr(34))}:{rest.partition(',')[0]}: {code}"
