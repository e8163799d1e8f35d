"""What the guards of the tracer do not notice."""

import math
import os
import sys
from abc import ABCMeta
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import EnumMeta
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from ._pure import Refusal


@dataclass(frozen=True)
class _Zero:
    """A number zero that a function reads: guards compare numbers, and do not tell -0.0 from 0.0.

    Attributes:
        expression: where it is found, in the tracer's terms.
        sign: 1.0 or -1.0.
    """

    expression: CodeType
    sign: float


_Methods = tuple[tuple[str, FunctionType, CodeType], ...]


@dataclass(eq=False)
class Checks:
    """What is to be checked of a function when it is found again, beside its guards.

    Attributes:
        zeros: the numbers zero that it reads.
        classes: the user's classes of objects that it reads, and their methods, which guards take to be constant.
        refusal: why it cannot be watched at all, where that is so.
    """

    zeros: list[_Zero] = field(default_factory=list)
    refusal: Refusal | None = None
    classes: dict[type, _Methods] = field(default_factory=dict)

    def look_at(self, guards: Sequence[Any]) -> list[bool]:
        """Note what guards do not see to; all of them are kept, as the result says."""
        for guard in guards:
            value = guard.value
            if guard.guard_type in ("CONSTANT_MATCH", "EQUALS_MATCH") and type(value) is float and value == 0.0:
                self.zeros.append(_Zero(compile(guard.name, "<guard>", "eval"), math.copysign(1.0, value)))
            elif any(map(_is_of_an_argument, guard.orig_guard.code_list or ())):
                self.refusal = Refusal(DEPENDS_ON_VALUES)
            elif guard.has_value:
                self.refusal = self.refusal or _refuse(value)
                self.classes |= {kind: _methods(kind) for kind in type(value).__mro__ if _is_of_user(kind.__module__)}
            # guards are made once more after this, and of an array of NumPy that is another tensor each time
            guard.orig_guard.obj_weakref = None
        return [True] * len(guards)

    def hold(self, scope: dict[str, Any]) -> bool:
        """Whether the function is what it was when it was traced; `scope` is what expressions are made of."""
        if self.zeros and any(math.copysign(1.0, eval(zero.expression, scope)) != zero.sign for zero in self.zeros):
            return False
        return all(_methods(kind) == methods for kind, methods in self.classes.items())


def _methods(kind: type) -> _Methods:
    """The functions among the attributes of a class, with their code."""
    return tuple((name, f, f.__code__) for name, f in vars(kind).items() if type(f) is FunctionType)


DEPENDS_ON_VALUES = "it depends on values, not only on shapes"
"""Why a function is refused that branches on its arguments: what is traced serves for all values."""


def _is_of_an_argument(condition: str) -> bool:
    """Whether a guard is a condition on the contents of an argument, as of `if t < 1`.

    That numbers are no NaN is a condition of all numbers that are read.
    """
    return "L['arguments']" in condition and ".item()" in condition and not condition.startswith("not math.isnan(")


def _refuse(value: Any) -> Refusal | None:
    """Why something that a function reads cannot be watched."""
    kind = type(value)
    if value is os.getenv:
        return Refusal("it calls os.getenv, whose answer may change; read os.environ in its place")
    if isinstance(value, type) and kind not in (type, ABCMeta, EnumMeta) and _is_of_user(kind.__module__):
        return Refusal(f"it uses the class {value.__name__}, whose metaclass cannot be watched")
    if isinstance(value, ChainMap):
        return Refusal("it reads a ChainMap, whose parts cannot be watched")
    if isinstance(value, dict | list | tuple | set) and _is_of_user(kind.__module__) and not hasattr(kind, "_fields"):
        return Refusal(f"it reads a {kind.__name__}, a container whose attributes cannot be watched")
    return None


@cache
def _is_of_user(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "__main__" or (top not in ("torch", "numpy") and top not in sys.stdlib_module_names)
