"""A user function as a pure function of tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.fx import GraphModule

CAPTURED = -1
"""The role of an input that is no argument of the function but a tensor that it reads beside them."""


@dataclass(eq=False)
class PureFunction:
    """What user functions compute that do the same with other tensors: a graph, which reads nothing but its inputs.

    Attributes:
        graph: operations of torch, at certain shapes and dtypes of the inputs.
        roles: for each input the position of the argument that it is, or `CAPTURED`.
        results: what else was made of the function, by who made it; it is freed with the function.
    """

    graph: GraphModule
    roles: tuple[int, ...] = ()
    results: dict[type, object] = field(default_factory=dict)

    @cached_property
    def call(self) -> Callable[..., tuple[Tensor]]:
        """The graph as a function of all its inputs, which returns one tensor in a tuple."""
        run = self.graph.forward
        if any(node.target is torch._C._set_grad_enabled for node in self.graph.graph.nodes):
            return partial(_with_gradients, run)
        return run

    def adopt_roles(self, inputs: Sequence[Tensor], arguments: Sequence[Tensor]) -> None:
        """Tell the arguments from what is captured, which is the same at every call of the function."""
        positions = {id(argument): position for position, argument in reversed(list(enumerate(arguments)))}
        self.roles = tuple(positions.get(id(x), CAPTURED) for x in inputs)


def _with_gradients(run: Callable[..., tuple[Tensor]], *inputs: Tensor) -> tuple[Tensor]:
    """Run a graph that switches gradients off and, wherever it is run, on again, as they were when it was traced."""
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        (result,) = run(*inputs)
    return (result if wanted else result.detach(),)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A user function as it was at one moment: what it computes, and the tensors that it read.

    Whatever becomes of the objects that these were taken from, the snapshot computes the same.

    Attributes:
        function: what it computes.
        inputs: the inputs of the graph; arguments hold their places only.
    """

    function: PureFunction
    inputs: tuple[Tensor, ...]

    @cached_property
    def captured(self) -> list[Tensor]:
        """The tensors that the function read beside its arguments, each once."""
        found = (x for x, role in zip(self.inputs, self.function.roles, strict=True) if role == CAPTURED)
        return list({id(x): x for x in found}.values())


TORCHSCRIPT = "it has parts in TorchScript, whose attributes cannot be watched"
"""The reason of a refusal that also keeps `torch.vmap` from a function."""


@dataclass(eq=False)
class Refusal:
    """Why a function is called as it is.

    Attributes:
        reason: what stands in the way, as a phrase.
        where: the line of the user's code, if it is known.
        announced: whether the user has been told.
    """

    reason: str
    where: str = ""
    announced: bool = False

    def __str__(self) -> str:
        return f"{self.reason} ({self.where})" if self.where else self.reason
