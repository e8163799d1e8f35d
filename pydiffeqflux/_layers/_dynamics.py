"""Networks as right-hand sides."""

from typing import Any

from torch import Tensor, nn

from .._errors import InvalidProblemError
from .._problems._signatures import arguments_of


class Dynamics(nn.Module):
    """A network as a right-hand side f(u, p, t).

    Attributes:
        model: the network.
        time_dependent: whether it is called with the time.

    Arguments:
        model: the network.
        time_dependent: `None` to find out by its signature.

    Raises:
        InvalidProblemError: `model` is not a module, or takes other arguments.
    """

    def __init__(self, model: Any, time_dependent: bool | None) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InvalidProblemError(f"model must be an nn.Module, not {type(model).__name__}.")
        takes_time = _takes_time(model)
        self.model = model
        self._asked = time_dependent
        self.time_dependent = takes_time if time_dependent is None else time_dependent

    def following(self, model: Any) -> "Dynamics":
        """The same for a network that may have taken the place of this one."""
        return self if model is self.model else Dynamics(model, self._asked)

    def forward(self, u: Tensor, p: Any, t: Tensor) -> Tensor:
        return self.model(u, t) if self.time_dependent else self.model(u)


def _takes_time(model: nn.Module) -> bool:
    """Whether a network needs the time as its second argument."""
    arguments = arguments_of(model)
    if arguments is None:
        return False
    if arguments.time_is_first:
        raise InvalidProblemError(
            f"model.forward{arguments} has the time first, as its names tell, but a model is called as model(u, t); "
            "change the order of its arguments, or wrap it in a module whose forward(self, u, t) returns model(t, u)."
        )
    if arguments.required > 2 or arguments.keywords or not (arguments.names or arguments.more):
        raise InvalidProblemError(f"model.forward{arguments} must take u, or u and t; wrap it in a module that does.")
    return arguments.required == 2
