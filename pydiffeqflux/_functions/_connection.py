"""What autograd finds behind the output of a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ._derivatives import graph_leaves
from ._pure import Snapshot


@dataclass(frozen=True, eq=False)
class Connection:
    """What has a gradient.

    Attributes:
        uses_state: whether the state has.
        leaves: the other tensors that have.
        varies: whether the function returns something else each time, since it draws random numbers or writes to what
            it reads.
        outputs: what the function returned, with the state and the time; empty for a traced one.
    """

    uses_state: bool
    leaves: list[Tensor]
    varies: bool = False
    outputs: list[tuple[Tensor, float, Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class _Positions:
    """The same for every function that a graph serves for, by positions of its inputs."""

    uses_state: bool
    leaves: tuple[int, ...]
    varies: bool


def connection_of_snapshot(snapshot: Snapshot) -> Connection:
    """What has a gradient in a traced function. It has no branches, so this holds at all times."""
    function = snapshot.function
    found = function.results.get(_Positions)
    if not isinstance(found, _Positions):
        found = function.results[_Positions] = _evaluate(snapshot)
    return Connection(found.uses_state, [snapshot.inputs[i] for i in found.leaves], found.varies)


def _evaluate(snapshot: Snapshot) -> _Positions:
    state = {i for i, role in enumerate(snapshot.function.roles) if role == 0}
    inputs = [x.detach().clone().requires_grad_(i in state or x.requires_grad) for i, x in enumerate(snapshot.inputs)]
    before = torch.get_rng_state()
    with torch.enable_grad():
        own = [x.clone() for x in inputs]  # torch refuses to write to a leaf
        (output,) = snapshot.function.call(*own)
        # what it has written to counts where other contents give another output
        other = [_moved(y) if y._version else y for y in own]
        for i in state:
            other[i] = inputs[i].clone()
        (again,) = snapshot.function.call(*other)
    varies = _has_drawn(before) or not torch.equal(output, again)
    found = {id(leaf) for leaf in graph_leaves(output)}
    positions = [i for i, x in enumerate(inputs) if id(x) in found]
    return _Positions(not state.isdisjoint(positions), tuple(i for i in positions if i not in state), varies)


def connection_of_call(function: Callable[[Tensor, float], Any], u: Tensor, t: float) -> Connection:
    """What has a gradient in one evaluation of a function of the state and the time."""
    before = torch.get_rng_state()
    with torch.enable_grad():
        x = u.detach().clone().requires_grad_()
        output = function(x.clone(), t)  # not the leaf itself: torch has its own error for writing to that
        again = function(x.clone(), t)
    varies = _has_drawn(before) or not torch.equal(output, again)
    leaves = graph_leaves(output)
    uses_state = any(leaf is x for leaf in leaves)
    others = [leaf for leaf in leaves if leaf is not x]
    return Connection(uses_state, others, varies, [(u, t, output.detach().clone())])


def _moved(x: Tensor) -> Tensor:
    """Other contents."""
    return ~x if x.dtype == torch.bool else x + 1


def _has_drawn(before: Tensor) -> bool:
    """Whether random numbers have been drawn since then; they are put back, so that a solve draws the same ones."""
    if torch.equal(torch.get_rng_state(), before):
        return False
    torch.set_rng_state(before)
    return True


def joined(connections: Sequence[Connection]) -> Connection:
    """What has a gradient in some of several evaluations."""
    leaves = {id(leaf): leaf for connection in connections for leaf in connection.leaves}
    return Connection(
        any(connection.uses_state for connection in connections),
        list(leaves.values()),
        any(connection.varies for connection in connections),
        [output for connection in connections for output in connection.outputs],
    )
