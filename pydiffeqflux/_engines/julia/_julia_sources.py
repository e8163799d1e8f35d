"""A `JuliaSource` of the user as a right-hand side in Julia, its parameters as one flat vector."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..._errors import UnsupportedError
from ..._functions import SourceRightHandSide, leaves
from ._arguments import address, dims
from ._bridge import Bridge
from ._callbacks import Poll


@dataclass(frozen=True)
class FlatParameters:
    """All leaves of the parameters behind one another, on the memory of the user's tensor where it is the only one.

    Attributes:
        vector: the numbers, of the dtype of the state.
        places: for each parameter that is differentiated, where it lies in the vector.
    """

    vector: Tensor
    places: list[slice]


def flatten(rhs: SourceRightHandSide) -> FlatParameters:
    """The parameters of a right-hand side as Julia gets them."""
    tensors = [leaf.detach() for leaf in leaves(rhs.p)]
    for leaf in tensors:
        if leaf.is_complex() or leaf.device.type != "cpu":
            raise UnsupportedError(
                f"parameters of a JuliaSource must be real and on the CPU, not {leaf.dtype} on {leaf.device}."
            )
    parts = [leaf.to(rhs.dtype).reshape(-1) for leaf in tensors]
    vector = parts[0] if len(parts) == 1 else torch.cat([*parts, torch.empty(0, dtype=rhs.dtype)])
    starts: dict[int, int] = {}
    start = 0
    for leaf, original in zip(tensors, leaves(rhs.p), strict=True):
        starts[id(original)] = start
        start += leaf.numel()
    places = [slice(starts[id(q)], starts[id(q)] + q.numel()) for q in rhs.parameters]
    return FlatParameters(vector.contiguous(), places)


class JuliaSources:
    """Compiled source functions and parameter layouts, each made once."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._functions: dict[str, int] = {}
        self._layouts: dict[Any, int] = {}

    def right_hand_side(
        self, rhs: SourceRightHandSide, parameters: FlatParameters, poll: Poll, *, vjp: bool, jacobian: bool
    ) -> int:
        """Handle of the right-hand side; it reads `parameters` and calls `poll`, which must be kept.

        With `vjp` it brings vector-Jacobian products, and with `jacobian` also the Jacobian, by forward mode.
        """
        if rhs.code not in self._functions:
            self._functions[rhs.code] = self._bridge.call("source_function", rhs.code)
        vector = parameters.vector
        return self._bridge.call(
            "source_rhs",
            self._functions[rhs.code],
            rhs.dtype == torch.float32,
            "" if len(rhs.shape) == 1 else dims(rhs.shape) or "1",
            self._layout(rhs.p),
            address(vector),
            vector.numel(),
            poll.address,
            rhs.numel if vjp else 0,
            jacobian,
        )

    def _layout(self, p: Any) -> int:
        """Handle of how the flat vector is presented to the source; 0 for a vector as it is."""
        if p is None or (isinstance(p, Tensor) and p.ndim == 1):
            return 0
        key = _describe(p)
        if key not in self._layouts:
            self._layouts[key], _ = self._make_layout(p, 0)
        return self._layouts[key]

    def _make_layout(self, p: Any, offset: int) -> tuple[int, int]:
        """Handle of a layout, and the offset behind it."""
        if isinstance(p, Tensor):
            return self._bridge.call("layout_leaf", offset, dims(p.shape)), offset + p.numel()
        values = p.values() if isinstance(p, dict) else p
        branches = []
        for value in values:
            branch, offset = self._make_layout(value, offset)
            branches.append(str(branch))
        names = p.keys() if isinstance(p, dict) else getattr(p, "_fields", None)
        joined = ",".join(branches)
        if names is None:
            return self._bridge.call("layout_tuple", joined), offset
        for name in names:
            if not (isinstance(name, str) and name.isidentifier()):
                raise UnsupportedError(
                    f"the parameter key {name!r} cannot be a field of a named tuple in Julia; use a name like 'a1'."
                )
        return self._bridge.call("layout_named", ",".join(names), joined), offset


def _describe(p: Any) -> Any:
    """The structure of the parameters without their values, hashable."""
    if isinstance(p, Tensor):
        return tuple(p.shape)
    if isinstance(p, dict):
        return ("named", *((name, _describe(value)) for name, value in p.items()))
    return (getattr(p, "_fields", "tuple"), *map(_describe, p))
