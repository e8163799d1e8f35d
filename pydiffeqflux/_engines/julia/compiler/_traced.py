"""A user function as a graph of primitive operations, whose captured tensors are arguments."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ._location import A_WRITE
from ._observer import Observer
from ._trace import WRITES_OUTSIDE, CannotCompileError, captured, trace


@dataclass(frozen=True)
class Inputs:
    """What a user function is a function of: tensors of the right shape and dtype, whose contents do not count.

    Attributes:
        states: the arguments before `p`, by their names: `u`, or `du` and `u` of a residual.
        leaves: the tensors of `p`.
        t: a time.
        output: what it returns is like this, `None` where it is like the first state.
    """

    states: dict[str, Tensor]
    leaves: list[Tensor]
    t: Tensor
    output: Tensor | None = None

    @property
    def flat(self) -> list[Tensor]:
        """All of them, in the order of the arguments."""
        return [*self.states.values(), *self.leaves, self.t]

    def without_contents(self) -> "Inputs":
        """The same shapes and dtypes on next to no memory."""
        states = {name: _empty_like(tensor) for name, tensor in self.states.items()}
        return Inputs(states, list(map(_empty_like, self.leaves)), _empty_like(self.t), _empty_like(self.like))

    @property
    def like(self) -> Tensor:
        """A tensor of the shape and dtype of what the function returns."""
        return next(iter(self.states.values())) if self.output is None else self.output


def _empty_like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(()).expand(tensor.shape)


Origin = int | Tensor
"""Where a captured tensor comes from: its position among those that the function reads, or itself where it has none."""


class TracedFunction:
    """A user function as a graph.

    It serves for all functions that compute the same from other tensors, of which it keeps none alive.

    Arguments:
        function: the function of the tensors of `inputs`, in their order.
        inputs: tensors to trace it with.
        tensors: those that the function may read beside them.
        wanted: captured tensors that are to belong to the flat parameters.

    Attributes:
        inputs: those that it was traced with, without contents.
        reads: captured tensors whose contents the graph takes to be constant, since they were made Python numbers.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Inputs,
        tensors: Sequence[Tensor] = (),
        wanted: Sequence[Tensor] = (),
    ) -> None:
        self.inputs = inputs.without_contents()
        observer = Observer(function)
        # in torch's own operations, which can be differentiated again
        self._graph = trace(observer, tuple(inputs.flat), decompose=False)
        if any(_writes_to(user, node) for node in self._attributes() for user in node.users):
            raise CannotCompileError(WRITES_OUTSIDE, operation=A_WRITE)
        observer.note_reads(self._graph)
        self._graph.graph.eliminate_dead_code()
        self.reads = origins(observer.reads, tensors)
        known = {id(q) for q in wanted}
        found = self._take_captured()
        self._names = [name for name, tensor in found.items() if id(tensor) in known]
        self._origins = dict(zip(found, origins(found.values(), tensors), strict=True))

    def _take_captured(self) -> dict[str, Tensor]:
        """The tensors behind the attributes of the graph, which gives them up."""
        tensors = {str(node.target): captured(self._graph, str(node.target)) for node in self._attributes()}
        names = {id(tensor): name for name, tensor in tensors.items()}
        for node in self._attributes():
            node.target = names[id(tensors[str(node.target)])]  # one name for each tensor
        for name in tensors:
            delattr(self._graph, name)
        return {name: tensors[name] for name in names.values()}

    def _attributes(self) -> Iterable[Node]:
        return self._graph.graph.find_nodes(op="get_attr")

    def parameters(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Those of the tensors that belong to the flat parameters, behind the leaves of `p`."""
        return [take(self._origins[name], tensors) for name in self._names]

    def bind(self, tensors: Sequence[Tensor]) -> "BoundFunction":
        """The function with those tensors in the place of the ones that it was traced with."""
        values = {name: take(source, tensors) for name, source in self._origins.items()}
        return BoundFunction(self._graph, self.inputs, self._names, values)


def origins(captured_tensors: Iterable[Tensor], tensors: Sequence[Tensor]) -> list[Origin]:
    """Where captured tensors are to be taken from another time, given those that the function reads now."""
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    return [positions.get(id(tensor), tensor) for tensor in captured_tensors]


def take(origin: Origin, tensors: Sequence[Tensor]) -> Tensor:
    """A captured tensor, given those that the function reads."""
    return tensors[origin] if isinstance(origin, int) else origin


class BoundFunction:
    """A traced function with its tensors.

    Attributes:
        inputs: as of the traced function.
        parameters: the captured tensors that belong to the flat parameters, behind the leaves of `p`.
    """

    def __init__(self, graph: GraphModule, inputs: Inputs, names: list[str], tensors: dict[str, Tensor]) -> None:
        self.inputs = inputs
        self.parameters = [tensors[name] for name in names]
        self._graph, self._names, self._tensors = graph, names, tensors

    def __call__(self, states: Sequence[Tensor], leaves: list[Tensor], parameters: list[Tensor], t: Tensor) -> Tensor:
        """The function with other values of the captured parameters."""
        tensors = self._tensors | dict(zip(self._names, parameters, strict=True))
        return _Interpreter(self._graph, tensors).run(*states, *leaves, t)


def _writes_to(user: Node, node: Node) -> bool:
    schema = getattr(user.target, "_schema", None)
    return schema is not None and schema.is_mutable and user.args[0] is node


class _Interpreter(torch.fx.Interpreter):
    """Runs a graph with its attributes taken from elsewhere."""

    def __init__(self, graph: GraphModule, tensors: dict[str, Tensor]) -> None:
        super().__init__(graph)
        self._tensors = tensors

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._tensors[target]
