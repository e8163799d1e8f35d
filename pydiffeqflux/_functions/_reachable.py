"""The tensors that a function can reach, whether it reads them or not."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

BUDGET = 20_000
"""So many objects are looked at."""


def reachable_tensors(function: Callable[..., Any]) -> list[Tensor]:
    """Those in the closure of a function, in the globals that it names, and in objects that these hold.

    More than it reads may be among them, and what it reaches in other ways is not: for functions that the tracer cannot
    follow it is the best guess.
    """
    found: dict[int, Tensor] = {}
    seen: set[int] = set()
    stack: list[Any] = [function]
    while stack and len(seen) < BUDGET:
        thing = stack.pop()
        if isinstance(thing, Tensor):
            found[id(thing)] = thing
        elif id(thing) not in seen and type(thing) not in _PLAIN:
            seen.add(id(thing))
            stack.extend(_held_by(thing))
    return list(reversed(found.values()))


def longest_container(function: Callable[..., Any]) -> int:
    """The length of the longest list, dict or set in the closure of a function, or among the globals that it names."""
    longest, seen, stack = 0, set[int](), [function]
    while stack:
        thing = stack.pop()
        if isinstance(thing, list | dict | set | frozenset | deque):
            longest = max(longest, len(thing))
        elif isinstance(thing, FunctionType | MethodType | partial) and id(thing) not in seen:
            seen.add(id(thing))
            stack.extend(_held_by(thing))
    return longest


_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size})


def _held_by(thing: Any) -> Iterator[Any]:
    if isinstance(thing, FunctionType):
        yield from _held_by_function(thing)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif not isinstance(thing, type | ModuleType):
        yield from _attributes(thing).values()
        for name in ("forward", "__call__"):
            method = getattr(type(thing), name, None)
            if isinstance(method, FunctionType) and not _is_library(method.__module__):
                yield method


def _held_by_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
    yield function.__defaults__
    yield function.__kwdefaults__
    if _is_library(function.__module__):
        return
    names, scope = _names(function.__code__), function.__globals__
    for name in names:
        value = scope.get(name)
        if isinstance(value, ModuleType):
            if not _is_library(value.__name__):
                members = vars(value)
                yield from (members[other] for other in names if other in members)
        else:
            yield value


def _attributes(thing: Any) -> dict[str, Any]:
    try:
        return object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


@cache
def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in ("torch", "numpy", "scipy", "pydiffeqflux")
