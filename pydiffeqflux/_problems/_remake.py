"""Problems made of others."""

from typing import Any, TypeVar

from .._errors import InvalidProblemError
from ._base import AbstractProblem

Problem = TypeVar("Problem", bound=AbstractProblem)


def remake(prob: Problem, **changes: Any) -> Problem:
    """A copy of `prob` with some of its arguments replaced, as SciMLBase's `remake`.

    Arguments:
        prob: the problem.
        **changes: any of the arguments that a problem of this kind is made of.

    Raises:
        InvalidProblemError: there is no such argument, or it cannot be used.

    >>> from pydiffeqflux import ODEProblem
    >>> prob = ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    >>> remake(prob, tspan=(0.0, 2.0)).tspan
    (0.0, 2.0)
    """
    names = prob.arguments
    for name in changes:
        if name not in names:
            raise InvalidProblemError(f"remake knows {', '.join(names)}, not {name!r}.")
    arguments = {name: getattr(prob, name) for name in names} | changes
    if "tspan" not in changes:
        pairs = zip(prob.tspan, prob.tspan_tensors, strict=True)
        arguments["tspan"] = tuple(t if given is None else given for t, given in pairs)
    if "u0" not in changes and prob.numpy_output:
        arguments["u0"] = prob.u0.numpy()
    return type(prob)(**arguments)
