"""Functions that torch.compile does not look into."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def eager(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function`, which runs as it is where the code that calls it is compiled.

    Solvers choose their steps by values, which compiled code cannot. `torch.compiler.disable` itself is not a decorator
    here, since it loads the compiler, which most programs do without.
    """

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if torch.compiler.is_dynamo_compiling():
            _stop()
            disabled: Any = torch.compiler.disable(function)
            return disabled(*args, **kwargs)
        return function(*args, **kwargs)

    return call


def _stop() -> None:
    """Where the compiler stops, with our reason."""


# what the compiler looks at before it follows a call
vars(_stop).update(
    _torchdynamo_disable=True,
    _torchdynamo_disable_msg="the steps of pydiffeqflux's solvers depend on values, so a solve is not compiled; "
    "compile the model that is solved, or leave out fullgraph=True",
)
