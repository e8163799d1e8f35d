"""What options are called here, for those who know them by another name."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from ._errors import InvalidOptionError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ELSEWHERE = {
    "rtol": "reltol",
    "atol": "abstol",
    "t_eval": "saveat",
    "ts": "saveat",
    "method": "the algorithm, solve(prob, Tsit5())",
    "solver": "the algorithm, solve(prob, Tsit5())",
    "dt0": "dt",
    "first_step": "dt",
    "step_size": "dt with adaptive=False",
    "max_step": "dtmax",
    "min_step": "dtmin",
    "max_steps": "maxiters",
    "max_num_steps": "maxiters",
    "stepsize_controller": "controller",
    "dense_output": "dense",
    "adjoint": "sensealg",
    "y0": "u0 of the problem, ODEProblem(f, u0, tspan, p)",
    "t_span": "tspan of the problem, ODEProblem(f, u0, tspan, p)",
    "args": "p of the problem, ODEProblem(f, u0, tspan, p)",
}
"""What SciPy, torchdiffeq, torchsde and diffrax call things, and what they are called here."""


def check_option_names(owner: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse options that there are not.

    Arguments:
        owner: what was given them.
        names: the options that were given.
        known: those that there are.

    Raises:
        InvalidOptionError: with what it is called here, or what comes close.
    """
    for name in names:
        if name in known:
            continue
        if name in _ELSEWHERE:
            hint = f"here that is {_ELSEWHERE[name]}"
        else:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise InvalidOptionError(f"{owner} has no option {name!r}; {hint.rstrip('.')}" + ("" if "?" in hint else "."))


def with_known_options(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function`, which says of keyword arguments that it does not have what they are called here."""
    known = tuple(inspect.signature(function).parameters)
    names = frozenset(known)

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not kwargs.keys() <= names:
            check_option_names(f"{function.__name__}()", kwargs, known)
        return function(*args, **kwargs)

    return call
