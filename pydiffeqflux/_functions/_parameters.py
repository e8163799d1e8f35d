"""The tensors that gradients belong to: one list for all functions of a problem."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ._nesting import map_leaves


class Parameters:
    """What a problem is differentiated with respect to, beside its initial state.

    Leaves of `p` that require a gradient come first, then parameters of modules, then other tensors that the functions
    read.

    Attributes:
        p: the nesting of parameters; leaves that require a gradient are replaced by local ones.
        tensors: what is differentiated with respect to. Local ones are detached, so that gradients that are computed
            here never reach the user's graph, nor hooks of the user's.
        owners: for each of `tensors` the one that the user holds, which the gradient belongs to.
        n_from_p: how many of them are leaves of `p`.

    Arguments:
        p: the nesting that the user gave.
        differentiate: whether gradients may be wanted; otherwise the list is empty.
    """

    def __init__(self, p: Any, *, differentiate: bool) -> None:
        self.tensors: list[Tensor] = []
        self.owners: list[Tensor] = []
        self._known: dict[int, Tensor] = {}
        self.p = map_leaves(p, self._adopt if differentiate else Tensor.detach)
        self.n_from_p = len(self.tensors)

    def _adopt(self, leaf: Tensor) -> Tensor:
        return self._append(leaf, local(leaf)) if leaf.requires_grad else leaf

    def _append(self, owner: Tensor, tensor: Tensor) -> Tensor:
        self.tensors.append(tensor)
        self.owners.append(owner)
        return tensor

    def add(self, owners: Iterable[Tensor], *, as_local: bool) -> None:
        """Append tensors that are not in the list yet.

        Arguments:
            owners: the user's tensors.
            as_local: whether functions are given local ones in their place; those with hooks always have one.
        """
        for owner in owners:
            if id(owner) not in self._known:
                wanted = as_local or owner._backward_hooks
                self._known[id(owner)] = self._append(owner, local(owner) if wanted else owner)

    @property
    def substitutes(self) -> dict[int, Tensor]:
        """The local ones, by the ids of their owners, but for leaves of `p`."""
        return {key: tensor for key, tensor in self._known.items() if id(tensor) != key}

    def local_of(self, owner: Tensor) -> Tensor:
        """What stands for a tensor of the user's that is no leaf of `p`: itself where it is not in the list."""
        return self._known.get(id(owner), owner)


def local(tensor: Tensor) -> Tensor:
    """A leaf on the same memory, without the user's graph and hooks."""
    return tensor.detach().requires_grad_()
