"""The table of rules, and what arguments each of them takes."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ._refusals import not_covered

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""What is done for each operation of the graph, by its name, `prims.add` or `aten.mm`."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function of `(lowering, *arguments)` for some operations.

    Its signature says what it covers: other arguments, in number or in type, are refused before it is called.

    Raises:
        ValueError: an operation has a rule already.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} has a rule already, in {RULES[name].__module__}")
            RULES[name] = function
        return function

    return register


def check_arguments(function: Rule, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
    """Refuse what does not fit the signature of a rule; the lowering comes first among the arguments.

    Raises:
        NotCoveredError: the number, names or types of the arguments are others than those of the signature.
    """
    signature, hints = _contract(function)
    try:
        bound = signature.bind(*arguments, **keywords)
    except TypeError as error:
        not_covered(str(error))
    for name, given in bound.arguments.items():
        for value in _each(given, signature.parameters[name].kind):
            if not _fits(value, hints.get(name, Any)):
                not_covered(f"its argument {name} is {_described(value)}")


@cache
def _contract(function: Rule) -> tuple[inspect.Signature, dict[str, Any]]:
    return inspect.signature(function), get_type_hints(function)


def _each(given: Any, kind: Any) -> Iterator[Any]:
    """The values that the annotation of a parameter is about, each of them."""
    if kind is inspect.Parameter.VAR_POSITIONAL:
        yield from given
    elif kind is inspect.Parameter.VAR_KEYWORD:
        yield from given.values()
    else:
        yield given


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Sequence:
        return isinstance(value, Sequence) and all(_fits(element, get_args(hint)[0]) for element in value)
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, NoneType if hint is None else hint)


def _described(value: Any) -> str:
    """The type of an argument; numbers and such by their value, tensors not, which may be large."""
    plain = value is None or isinstance(value, bool | int | float | complex | str)
    return repr(value) if plain else f"a {type(value).__name__}"
