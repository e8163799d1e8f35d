"""What a function depends on besides its arguments, so that a change of it is noticed."""

import types
from typing import Any

import torch
from torch import Tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def fingerprint(function: Any) -> tuple[Any, ...]:
    """A value that differs when something that `function` reads has been replaced or changed.

    Numbers and strings in its closure, its globals, its defaults and the attributes of its objects and modules count by
    value. Tensors count by identity, shape and dtype: their contents are read anew in every solve.
    """
    found: list[Any] = []
    _walk(function, found, set())
    return tuple(found)


def _walk(thing: Any, found: list[Any], seen: set[int]) -> None:
    if isinstance(thing, _PLAIN):
        found.append((type(thing), thing))
        return
    if isinstance(thing, Tensor):
        found.append((id(thing), tuple(thing.shape), thing.dtype))
        return
    if id(thing) in seen or (isinstance(thing, dict | list | tuple) and not thing):
        return
    seen.add(id(thing))
    if isinstance(thing, dict):
        for key, value in thing.items():
            found.append(key if isinstance(key, _PLAIN) else id(key))
            _walk(value, found, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            _walk(value, found, seen)
    elif isinstance(thing, types.FunctionType):
        _walk_function(thing, found, seen)
    elif isinstance(thing, types.MethodType):
        _walk(thing.__func__, found, seen)
        _walk(thing.__self__, found, seen)
    else:
        found.append(id(thing))
        # library code is taken to be constant; of modules of torch the attributes are the user's
        own = not type(thing).__module__.startswith(("torch", "numpy", "builtins")) or isinstance(
            thing, torch.nn.Module
        )
        if own and not isinstance(thing, type | types.ModuleType):
            _walk(getattr(thing, "__dict__", {}), found, seen)


def _walk_function(function: types.FunctionType, found: list[Any], seen: set[int]) -> None:
    found.append(id(function.__code__))
    for cell in function.__closure__ or ():
        try:
            _walk(cell.cell_contents, found, seen)
        except ValueError:  # a variable that has no value yet
            found.append(None)
    _walk(function.__defaults__ or (), found, seen)
    _walk(function.__kwdefaults__ or {}, found, seen)
    if function.__module__.startswith("torch"):
        return
    for name in function.__code__.co_names:
        if name in function.__globals__:
            _walk(function.__globals__[name], found, seen)
