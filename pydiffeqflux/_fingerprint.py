"""What a function depends on besides its arguments, so that a change of it is noticed."""

import hashlib
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = frozenset({bool, int, float, complex, str, bytes, range, type(None), torch.dtype, torch.device})
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_USUALLY_EMPTY = frozenset({dict, OrderedDict, set})
_REGISTRIES = ("_parameters", "_buffers", "_modules")
"""Where a module of torch keeps attributes."""

_READ_ANYTHING = frozenset(
    {
        "getattr",
        "vars",
        "dir",
        "eval",
        "exec",
        "globals",
        "__dict__",
        "__getattribute__",
        "attrgetter",
        "methodcaller",
        "asdict",
        "astuple",
        "fields",
    }
)
"""A function with one of these names may read attributes that it does not name."""

_READ_MEMBERS = frozenset(
    {
        "_parameters",
        "_buffers",
        "_modules",
        "parameters",
        "buffers",
        "modules",
        "children",
        "named_parameters",
        "named_buffers",
        "named_modules",
        "named_children",
        "get_parameter",
        "get_buffer",
        "get_submodule",
        "state_dict",
        "functional_call",
    }
)
"""With one of these, any parameter, buffer or part of a module."""

_MAKE = frozenset({"__init__", "__new__", "__post_init__"})
_DO_NOT_COMPUTE = frozenset({"__init_subclass__", "__repr__", "__str__", "__getstate__", "__setstate__", "__reduce__"})


@dataclass(eq=False)
class _Scope:
    """Attributes of which those count that the code names.

    Attributes:
        members: the attributes.
        always: names that count in any case.
        is_registry: whether they are the parameters, buffers or parts of a module.
        done: those that have been counted.
    """

    members: Mapping[str, Any]
    always: set[str] = field(default_factory=set)
    is_registry: bool = False
    done: set[str] = field(default_factory=set)


class Fingerprint:
    """A value that differs when something that a function reads has been replaced or changed.

    Numbers, strings and arrays in its closure, its defaults, the globals that it names and the attributes of its
    objects and classes that some of its code names count by value, as do all attributes of torch's own modules.
    Tensors count by identity, shape, dtype and whether they require a gradient: every solve reads their contents anew.
    Libraries are taken to be constant.

    Arguments:
        function: the function.
        arrays: whether NumPy arrays count by value; else they do not count.

    Attributes:
        value: the value.
        objects: what counts by identity. The value means nothing when one of them is gone.
    """

    def __init__(self, function: Any, *, arrays: bool = True) -> None:
        self.objects: list[Any] = []
        self._parts: list[Any] = []
        self._seen: dict[int, int] = {}
        self._arrays = arrays
        self._names = {"forward"}
        self._scopes: list[_Scope] = []
        self._classes: dict[type, _Scope] = {}
        self._walk(function)
        while self._walk_scopes():
            pass
        self.value = tuple(self._parts)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that the function reads."""
        return [thing for thing in self.objects if isinstance(thing, Tensor)]

    def _identify(self, thing: Any) -> None:
        self._parts.append(id(thing))
        self.objects.append(thing)

    # ---- values

    def _walk(self, thing: Any) -> None:
        kind, parts = type(thing), self._parts
        if kind is float:
            parts.append(thing.hex())  # 0.0 and -0.0 are equal, and NaN is not
        elif kind in _PLAIN:
            parts.append((kind, thing))
        elif isinstance(thing, Tensor):
            self._identify(thing)
            parts.append((thing.shape, thing.dtype, thing.requires_grad))
        elif id(thing) in self._seen:
            parts.append(("again", self._seen[id(thing)]))
        else:
            self._seen[id(thing)] = len(self._seen)
            self._walk_new(thing)

    def _walk_new(self, thing: Any) -> None:
        kind = type(thing)
        if isinstance(thing, _CONTAINERS):
            self._parts.append((kind, len(thing)))
        if isinstance(thing, dict):
            self._walk_pairs(thing)
        elif isinstance(thing, _CONTAINERS):
            for value in thing:
                self._walk(value)
        elif isinstance(thing, types.FunctionType):
            self._walk_function(thing)
        elif isinstance(thing, partial):
            for part in (thing.func, thing.args, thing.keywords):
                self._walk(part)
        elif isinstance(thing, types.MethodType):
            self._walk(thing.__func__)
            self._walk(thing.__self__)
        elif isinstance(thing, int | float | complex | str | np.generic):  # of a type derived from these
            self._parts.append((kind, thing))
        elif isinstance(thing, np.ndarray):
            if self._arrays:
                self._parts.append((thing.shape, thing.dtype, hashlib.sha256(thing.tobytes()).digest()))
        else:
            self._identify(thing)
            self._walk_object(thing)

    def _walk_pairs(self, pairs: Mapping[Any, Any]) -> None:
        for key, value in pairs.items():
            if type(value) in _USUALLY_EMPTY and not value:  # most attributes of a module of torch
                continue
            if type(key) is str:
                self._parts.append(key)
            elif type(key) in _PLAIN:
                self._parts.append((type(key), key))
            else:
                self._identify(key)
            self._walk(value)

    # ---- objects

    def _walk_object(self, thing: Any) -> None:
        if isinstance(thing, types.ModuleType):
            return  # what is read of it is looked up by name
        if isinstance(thing, type):
            self._open_class(thing, _MAKE)
            return
        attributes = getattr(thing, "__dict__", {})
        if _has_code_of_torch(type(thing)):
            self._walk_pairs(attributes)
        else:
            hooks = {name for name in attributes if name.endswith("hooks")}  # torch calls those of a module
            self._scopes.append(_Scope(attributes, hooks))
            self._scopes.extend(_Scope(attributes[x], is_registry=True) for x in _REGISTRIES if x in attributes)
        slots = [name for base in type(thing).__mro__ for name in _slots(base)]
        if slots:
            self._scopes.append(_Scope({name: getattr(thing, name) for name in slots if hasattr(thing, name)}))
        self._open_class(type(thing), frozenset())

    def _open_class(self, kind: type, always: frozenset[str]) -> None:
        """Let those attributes of a class count that are named, and the methods that are called without a name."""
        for base in kind.__mro__:
            if _is_library(base.__module__):
                continue
            scope = self._classes.get(base)
            if scope is None:
                members = vars(base)
                called = {name for name, value in members.items() if _is_called_unnamed(name, value)}
                scope = self._classes[base] = _Scope(members, called)
                self._scopes.append(scope)
            scope.always |= always

    def _walk_scopes(self) -> bool:
        """Count the attributes that are named by now; whether there were some."""
        anything = not self._names.isdisjoint(_READ_ANYTHING)
        any_member = anything or not self._names.isdisjoint(_READ_MEMBERS)
        found = False
        for scope in list(self._scopes):
            for name in list(scope.members):
                wanted = name in self._names or name in scope.always or (any_member if scope.is_registry else anything)
                if wanted and name not in scope.done and (name in scope.always or not _is_special(name)):
                    scope.done.add(name)
                    self._parts.append(name)
                    self._walk(_unwrapped(scope.members[name]))
                    found = True
        return found

    def _walk_function(self, function: types.FunctionType) -> None:
        self._identify(function.__code__)
        for cell in function.__closure__ or ():
            try:
                self._walk(cell.cell_contents)
            except ValueError:  # a variable that has no value yet
                self._parts.append(None)
        self._walk(function.__defaults__)
        self._walk(function.__kwdefaults__)
        if _is_library(function.__module__):
            return
        names, scope = _names(function.__code__), function.__globals__
        self._names.update(names)
        if function.__dict__:
            self._scopes.append(_Scope(function.__dict__))
        for name in names:
            value = scope.get(name)
            if isinstance(value, types.ModuleType) and not _is_library(value.__name__):
                for attribute in names:
                    if attribute in value.__dict__:
                        self._walk(value.__dict__[attribute])
            elif name in scope:
                self._walk(value)


def _unwrapped(attribute: Any) -> Any:
    """The function behind a method, a property or a cached one."""
    for name in ("__func__", "fget", "func", "__wrapped__"):
        inner = getattr(attribute, name, None) if type(attribute) in _WRAPPERS else None
        if inner is not None:
            return inner
    return attribute


_WRAPPERS = frozenset({staticmethod, classmethod, property, cached_property})


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_called_unnamed(name: str, attribute: Any) -> bool:
    """Whether it is a method that an operator or a call may call."""
    is_method = isinstance(_unwrapped(attribute), types.FunctionType)
    return is_method and _is_special(name) and name not in _MAKE and name not in _DO_NOT_COMPUTE


def _has_code_of_torch(kind: type) -> bool:
    """Whether methods of a library read the attributes."""
    return any(
        base.__module__.partition(".")[0] in ("torch", "pydiffeqflux") and base is not torch.nn.Module
        for base in kind.__mro__
    )


def digest(tensor: Tensor) -> bytes:
    """A value that differs when the contents of a tensor do."""
    numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy(force=True)
    return hashlib.sha256(numbers.tobytes()).digest()


@cache
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes that a function and those inside it use."""
    return tuple(dict.fromkeys(_all_names(code)))


def _all_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_names(constant)
        elif isinstance(constant, str) and constant.isidentifier():  # hasattr(self, "name")
            yield constant


@cache
def _is_library(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in ("torch", "numpy", "scipy", "pydiffeqflux") or (top in sys.stdlib_module_names and top != "__main__")
