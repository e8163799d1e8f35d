"""The arguments of a user's function, by name, and what order their names tell."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_TIMES = frozenset({"t", "time"})
_STATE = re.compile(r"(x|y|z|u|h|q|s|v|w|xy|state|hidden|hidden_state|input|inputs|feature|features)(s|_?t|_?\d+|_)?")


@dataclass(frozen=True)
class Arguments:
    """What a function takes by position.

    Attributes:
        names: the names of its arguments.
        required: how many of them have no default.
        more: whether it takes any number of others.
        keywords: whether it needs some that can be given by name only.
    """

    names: tuple[str, ...]
    required: int
    more: bool = False
    keywords: bool = False

    def __str__(self) -> str:
        return f"({', '.join((*self.names, *(('*args',) if self.more else ())))})"

    @property
    def time_is_first(self) -> bool:
        """Whether the names say that the time comes before the state, as in torchdiffeq and diffrax."""
        first, second = (*self.names, "", "")[:2]
        return first in _TIMES and _is_state(second)

    @property
    def time_is_second(self) -> bool:
        """Whether the names of three arguments say that the time comes between the others, as in SciPy's odeint."""
        first, second, third = (*self.names, "", "", "")[:3]
        return _is_state(first) and second in _TIMES and third != "" and third not in _TIMES


def arguments_of(function: Callable[..., Any]) -> Arguments | None:
    """What a function or the forward pass of a module takes, `None` where that is not to be seen.

    A module that hands on whatever it gets, as one for data parallelism does, takes what the module in it takes.
    """
    if not isinstance(function, torch.nn.Module):
        return _declared(function)
    own = _declared(function.forward)
    inner = _wrapped(function) if own is not None and own.more else None
    handed_on = None if inner is None else arguments_of(inner)
    if own is None or handed_on is None:
        return own
    names = own.names + handed_on.names[len(own.names) :]
    return Arguments(names, max(own.required, handed_on.required), handed_on.more, own.keywords)


def _declared(function: Any) -> Arguments | None:
    schema = getattr(function, "schema", None)
    if isinstance(schema, torch.FunctionSchema):  # TorchScript
        arguments = [a for a in schema.arguments if a.name != "self"]
        return Arguments(tuple(a.name for a in arguments), sum(not a.has_default_value() for a in arguments))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins and C functions have none
        return None
    positional = [a for a in parameters if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    return Arguments(
        tuple(a.name for a in positional),
        sum(a.default is a.empty for a in positional),
        any(a.kind is a.VAR_POSITIONAL for a in parameters),
        any(a.kind is a.KEYWORD_ONLY and a.default is a.empty for a in parameters),
    )


_WRAPPED = ("_orig_mod", "module", "base_model", "base_layer")
"""What wrappers of torch.compile, of data parallelism and of adapters call the module in them."""


def _wrapped(module: torch.nn.Module) -> torch.nn.Module | None:
    children = dict(module.named_children())
    named = (children[name] for name in _WRAPPED if name in children)
    return next(named, None) or (next(iter(children.values())) if len(children) == 1 else None)


def _is_state(name: str) -> bool:
    return _STATE.fullmatch(name.lower()) is not None
