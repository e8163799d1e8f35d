"""What a function depends on besides its arguments, so that a change of it is noticed."""

import hashlib
import sys
import types
from collections import deque
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = frozenset({bool, int, float, complex, str, bytes, range, type(None), torch.dtype, torch.device})
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


class Fingerprint:
    """A value that differs when something that a function reads has been replaced or changed.

    Numbers, strings and arrays in its closure, its defaults, the globals that it names and the attributes of its
    objects, classes and modules count by value. Tensors count by identity, shape, dtype and whether they require a
    gradient: every solve reads their contents anew. Libraries are taken to be constant.

    Attributes:
        value: the value.
        objects: what counts by identity. The value means nothing when one of them is gone.
    """

    def __init__(self, function: Any) -> None:
        self._parts: list[Any] = []
        self.objects: list[Any] = []
        _walk(function, self, {})
        self.value = tuple(self._parts)

    def append(self, part: Any) -> None:
        """Let a value count."""
        self._parts.append(part)

    def identify(self, thing: Any) -> None:
        """Let an object count by identity."""
        self._parts.append(id(thing))
        self.objects.append(thing)


def _walk(thing: Any, found: Fingerprint, seen: dict[int, int]) -> None:
    kind = type(thing)
    if kind is float:
        found.append(thing.hex())  # 0.0 and -0.0 are equal, and NaN is not
    elif kind in _PLAIN:
        found.append((kind, thing))
    elif isinstance(thing, Tensor):
        found.identify(thing)
        found.append((thing.shape, thing.dtype, thing.requires_grad))
    elif id(thing) in seen:
        found.append(("again", seen[id(thing)]))
    else:
        seen[id(thing)] = len(seen)
        if isinstance(thing, _CONTAINERS):
            found.append((kind, len(thing)))
        if isinstance(thing, dict):
            _walk_pairs(thing, found, seen)
        elif isinstance(thing, _CONTAINERS):
            for value in thing:
                _walk(value, found, seen)
        elif isinstance(thing, types.FunctionType):
            _walk_function(thing, found, seen)
        elif isinstance(thing, partial):
            for part in (thing.func, thing.args, thing.keywords):
                _walk(part, found, seen)
        elif isinstance(thing, types.MethodType):
            _walk(thing.__func__, found, seen)
            _walk(thing.__self__, found, seen)
        elif isinstance(thing, int | float | complex | str | np.generic):  # of a type derived from these
            found.append((kind, thing))
        elif isinstance(thing, np.ndarray):
            found.append((thing.shape, thing.dtype, hashlib.sha256(thing.tobytes()).digest()))
        else:
            found.identify(thing)
            _walk_object(thing, found, seen)


def _walk_pairs(pairs: dict[Any, Any], found: Fingerprint, seen: dict[int, int]) -> None:
    for key, value in pairs.items():
        if isinstance(value, _CONTAINERS) and not value:  # most attributes of a module of torch
            continue
        if type(key) in _PLAIN:
            found.append((type(key), key))
        else:
            found.identify(key)
        _walk(value, found, seen)


def _walk_object(thing: Any, found: Fingerprint, seen: dict[int, int]) -> None:
    if isinstance(thing, types.ModuleType):
        return  # what is read of it is looked up by name
    if isinstance(thing, type):
        _walk_class(thing, found, seen)
    elif type(thing).__module__.startswith("torch.") or not _is_library(type(thing).__module__):
        # of a module of torch the attributes are the user's, as are those of a distribution
        _walk_pairs(getattr(thing, "__dict__", {}), found, seen)
        for base in type(thing).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                _walk(getattr(thing, name, None), found, seen)
        _walk(type(thing), found, seen)


def _walk_class(kind: type, found: Fingerprint, seen: dict[int, int]) -> None:
    for base in kind.__mro__:
        if _is_library(base.__module__):
            continue
        for name, value in vars(base).items():
            if not name.startswith("__") or name in ("__call__", "__init__"):
                _walk(getattr(value, "__func__", getattr(value, "fget", value)), found, seen)


def _walk_function(function: types.FunctionType, found: Fingerprint, seen: dict[int, int]) -> None:
    found.identify(function.__code__)
    for cell in function.__closure__ or ():
        try:
            _walk(cell.cell_contents, found, seen)
        except ValueError:  # a variable that has no value yet
            found.append(None)
    _walk(function.__defaults__, found, seen)
    _walk(function.__kwdefaults__, found, seen)
    if _is_library(function.__module__):
        return
    names, scope = _names(function.__code__), function.__globals__
    for name in names:
        value = scope.get(name)
        if isinstance(value, types.ModuleType) and not _is_library(value.__name__):
            for attribute in names:
                if attribute in value.__dict__:
                    _walk(value.__dict__[attribute], found, seen)
        elif name in scope:
            _walk(value, found, seen)


@cache
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes that a function and those inside it use."""
    return tuple(dict.fromkeys(_all_names(code)))


def _all_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_names(constant)


@cache
def _is_library(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in ("torch", "numpy", "scipy", "pydiffeqflux") or (top in sys.stdlib_module_names and top != "__main__")
