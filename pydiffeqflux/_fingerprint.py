"""What a function depends on besides its arguments, so that a change of it is noticed."""

import contextlib
import dis
import hashlib
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial, partialmethod, singledispatchmethod
from operator import attrgetter, methodcaller
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
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

_READ_GLOBALS = frozenset({"eval", "exec", "globals"})
_SPECIAL = _READ_ANYTHING | _READ_MEMBERS | {"type", "__class__"}
_MAKE = frozenset({"__init__", "__new__", "__post_init__"})
_DO_NOT_COMPUTE = frozenset(
    {"__init_subclass__", "__repr__", "__str__", "__getstate__", "__setstate__", "__reduce__", "__eq__", "__hash__"}
)


@dataclass(eq=False)
class _Scope:
    """Attributes of which those count that the code names.

    Attributes:
        members: the attributes.
        always: names that count in any case.
        is_registry: whether they are the parameters, buffers or parts of a module.
        is_module: whether they are those of a module, of which only numbers count where anything may be read.
        done: those that have been counted.
    """

    members: Mapping[str, Any]
    always: set[str] = field(default_factory=set)
    is_registry: bool = False
    is_module: bool = False
    done: set[str] = field(default_factory=set)


class Fingerprint:
    """A value that differs when something that a function reads has been replaced or changed, but for tensors.

    Numbers, strings and arrays in its closure, its defaults, the globals that it names and the attributes of its
    objects and classes that some of its code names count by value, as do all attributes of torch's own modules.
    Tensors count by all but their contents: shape, dtype, device, whether they require a gradient and have a graph.
    Libraries are taken to be constant.

    Arguments:
        function: the function.
        arrays: whether NumPy arrays count by value; else they do not count.

    Attributes:
        value: the value, which can be a key.
        tensors: the tensors that the function may read, each once; equal values have them in the same order.
        objects: what counts by identity. The value means nothing when one of them is gone.
    """

    def __init__(self, function: Any, *, arrays: bool = True) -> None:
        self.objects: list[Any] = []
        self.tensors: list[Tensor] = []
        self._positions: dict[int, int] = {}
        self._parts: list[Any] = []
        self._seen: dict[int, int] = {}
        self._arrays = arrays
        self._names: dict[str, None] = {"forward": None}  # in the order in which they were found
        self._scopes: list[_Scope] = []
        self._classes: dict[type, _Scope] = {}
        self._modules: set[int] = set()
        self._special: set[str] = set()
        self._walk(function)
        while self._walk_scopes():
            pass
        self.value = tuple(self._parts)

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
            self._walk_tensor(thing)
        elif id(thing) in self._seen:
            parts.append(("again", self._seen[id(thing)]))
        else:
            self._seen[id(thing)] = len(self._seen)
            self._walk_new(thing)

    def _walk_tensor(self, tensor: Tensor) -> None:
        position = self._positions.get(id(tensor))
        if position is None:
            position = self._positions[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        try:
            layout = tensor.shape, tensor.layout, tensor.layout is torch.strided and tensor.is_contiguous()
        except RuntimeError:  # of a parameter that has no value yet, or nested
            layout = None
        self._parts.append(
            (type(tensor), position, layout, tensor.dtype, tensor.device, tensor.requires_grad, tensor.is_leaf)
        )

    def _walk_new(self, thing: Any) -> None:
        kind = type(thing)
        if isinstance(thing, _CONTAINERS):
            self._parts.append((kind, len(thing)))
        if isinstance(thing, dict | MappingProxyType):
            self._walk_pairs(thing)
        elif isinstance(thing, _CONTAINERS):
            for value in thing:
                self._walk(value)
        elif isinstance(thing, FunctionType):
            self._walk_function(thing)
        elif isinstance(thing, partial):
            for part in (thing.func, thing.args, thing.keywords):
                self._walk(part)
        elif isinstance(thing, MethodType):
            self._walk(thing.__func__)
            self._walk(thing.__self__)
        elif isinstance(thing, slice):
            for part in (thing.start, thing.stop, thing.step):
                self._walk(part)
        elif isinstance(thing, int | float | complex | str | bytearray):  # of a type derived from these
            self._parts.append((kind, repr(thing) if isinstance(thing, float) else str(thing)))
        elif isinstance(thing, np.generic):
            self._parts.append((kind, thing.tobytes()))
        elif isinstance(thing, np.ndarray):
            if self._arrays:
                self._parts.append((thing.shape, str(thing.dtype), hashlib.sha256(thing.tobytes()).digest()))
        elif isinstance(thing, weakref.ref):
            self._walk(thing())
        else:
            self._identify(thing)
            self._walk_object(thing)
            return
        if not _is_library(kind.__module__):
            self._walk_attributes(thing)  # of a class that is derived from a built-in one

    def _walk_pairs(self, pairs: Mapping[Any, Any]) -> None:
        for key, value in list(pairs.items()):
            if type(key) is str:
                self._parts.append(key)
            else:
                self._walk(key)
            self._walk(value)

    # ---- objects

    def _walk_object(self, thing: Any) -> None:
        if isinstance(thing, ModuleType):
            if not _is_library(thing.__name__):
                self._open_module(vars(thing))
        elif isinstance(thing, type):
            self._open_class(thing, _MAKE)
        elif isinstance(thing, BuiltinFunctionType):
            if not isinstance(thing.__self__, ModuleType):  # the method of an object
                self._walk(thing.__self__)
        elif isinstance(thing, attrgetter | methodcaller):
            self._special.add("getattr")
        elif isinstance(thing, _CACHED):
            self._walk(thing.__wrapped__)
        else:
            self._walk_attributes(thing)

    def _walk_attributes(self, thing: Any) -> None:
        kind = type(thing)
        about, attributes = _about(kind), _attributes(thing)
        if about.has_code_of_a_library:
            # of a module of torch most attributes are empty
            self._walk_pairs({x: y for x, y in attributes.items() if type(y) not in _USUALLY_EMPTY or y})
        elif attributes:
            hooks = {name for name in attributes if type(name) is str and name.endswith("hooks")}  # torch calls those
            self._scopes.append(_Scope(attributes, hooks))
            self._scopes.extend(_Scope(attributes[x], is_registry=True) for x in _REGISTRIES if x in attributes)
        if about.slots:
            self._scopes.append(_Scope(dict(_values_of_slots(about.slots, thing))))
        self._open_class(kind, frozenset())

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
            scope.always |= always & scope.members.keys()

    def _open_module(self, members: dict[str, Any]) -> None:
        if id(members) not in self._modules:
            self._modules.add(id(members))
            self._scopes.append(_Scope(members, is_module=True))

    def _walk_scopes(self) -> bool:
        """Count the attributes that are named by now; whether there were some."""
        names, special = self._names, self._special
        anything = not _READ_ANYTHING.isdisjoint(special)
        any_member = anything or not _READ_MEMBERS.isdisjoint(special)
        makes = "type" in special or "__class__" in special
        before = len(self._parts)
        for scope in list(self._scopes):
            members = scope.members
            wanted = [name for name in names if name in members]
            if anything and scope.is_module:
                wanted += [name for name, value in members.items() if type(value) in _PLAIN]
            elif anything or (any_member and scope.is_registry):
                wanted += members
            if scope.always:
                wanted += sorted(scope.always)
            if makes:
                wanted += sorted(_MAKE & members.keys())
            for name in wanted:
                if name not in scope.done:
                    scope.done.add(name)
                    self._parts.append(name)
                    self._walk(_unwrapped(members[name]))
        return len(self._parts) > before

    def _walk_function(self, function: FunctionType) -> None:
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
        self._names |= names.attributes
        self._special |= _SPECIAL & (names.globals.keys() | names.attributes.keys())
        if not _READ_GLOBALS.isdisjoint(names.globals):
            self._open_module(scope)
        if function.__dict__:
            self._scopes.append(_Scope(function.__dict__))
        for name in names.globals:
            if name in scope:
                self._walk(scope[name])
        for name in names.modules:
            self._walk(sys.modules.get(name))


_WRAPPERS = (staticmethod, classmethod, property, cached_property, partialmethod, singledispatchmethod)
_CACHED = type(cache(len))


def _unwrapped(attribute: Any) -> Any:
    """The function behind a method, a property or a cached one."""
    if isinstance(attribute, _WRAPPERS):
        for name in ("__func__", "fget", "func"):
            inner = getattr(attribute, name, None)
            if inner is not None:
                return inner
    return attribute


def _attributes(thing: Any) -> Mapping[str, Any]:
    """Those that an object has itself."""
    try:
        return object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}


@dataclass(frozen=True)
class _About:
    """What is found out of a class once.

    Attributes:
        has_code_of_a_library: whether methods of a library read the attributes.
        slots: the attributes that are not in `__dict__`.
    """

    has_code_of_a_library: bool
    slots: dict[str, MemberDescriptorType]


_KNOWN: weakref.WeakKeyDictionary[type, _About] = weakref.WeakKeyDictionary()


def _about(kind: type) -> _About:
    about = _KNOWN.get(kind)
    if about is None:
        libraries = {base.__module__.partition(".")[0] for base in kind.__mro__ if base is not torch.nn.Module}
        slots = {
            name: member
            for base in kind.__mro__
            if "__slots__" in vars(base) and not _is_library(base.__module__)
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }
        about = _KNOWN[kind] = _About(not libraries.isdisjoint({"torch", "pydiffeqflux", "collections"}), slots)
    return about


def _values_of_slots(slots: Mapping[str, MemberDescriptorType], thing: Any) -> Iterator[tuple[str, Any]]:
    for name, member in slots.items():
        with contextlib.suppress(AttributeError):  # it has no value yet
            yield name, member.__get__(thing)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_called_unnamed(name: str, attribute: Any) -> bool:
    """Whether it is a method that an operator or a call may call."""
    inner = _unwrapped(attribute)
    is_method = isinstance(inner, FunctionType) or (callable(inner) and not _is_library(type(inner).__module__))
    return is_method and _is_special(name) and name not in _MAKE and name not in _DO_NOT_COMPUTE


def digest(tensor: Tensor) -> bytes:
    """A value that differs when the contents of a tensor do."""
    numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy(force=True)
    return hashlib.sha256(numbers.tobytes()).digest()


@dataclass(frozen=True)
class _Names:
    """The names that a function and those inside it use, each once and in order.

    Attributes:
        globals: of globals.
        attributes: of attributes, and strings that may be such names.
        modules: of modules that are imported.
    """

    globals: dict[str, None] = field(default_factory=dict)
    attributes: dict[str, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)


_NAMES: weakref.WeakKeyDictionary[CodeType, _Names] = weakref.WeakKeyDictionary()


def _names(code: CodeType) -> _Names:
    known = _NAMES.get(code)
    if known is None:
        known = _NAMES[code] = _find_names(code)
    return known


def _find_names(code: CodeType) -> _Names:
    found = _Names()
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in ("LOAD_GLOBAL", "LOAD_NAME"):
            found.globals[value] = None
        elif name == "IMPORT_NAME":
            found.modules[value] = None
        elif value in code.co_names:
            found.attributes[value] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _names(constant)
            found.globals.update(inner.globals)
            found.attributes.update(inner.attributes)
            found.modules.update(inner.modules)
        elif isinstance(constant, str) and constant.isidentifier():  # hasattr(self, "name")
            found.attributes[constant] = None
    return found


@cache
def _is_library(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in ("torch", "numpy", "scipy", "pydiffeqflux") or (top in sys.stdlib_module_names and top != "__main__")
