"""Networks in Julia: built from a description and the tensors of torch, called, and read back."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._errors import JuliaError
from ._arguments import address, dims, view
from ._bridge import Bridge, start


@dataclass(frozen=True)
class Layer:
    """A layer of Lux.

    Attributes:
        kind: its key in the table of `lux.jl`.
        options: what its constructor takes; dimensions are text, the last one of torch first.
        parameters: from the names of Lux to those of torch.
        statistics: likewise, those of the state.
        transposed: which parameters are matrices with the same rows in torch and in Lux, which the reversal of the
            dimensions must not turn; by their names in torch.
    """

    kind: str
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, str] = field(default_factory=dict)
    transposed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """Layers one after another: from their names in torch to those in Lux, and to what they are."""

    names: dict[str, str]
    layers: dict[str, "Layer | Chain"]


@dataclass(frozen=True)
class Leaf:
    """A tensor of torch and its place in Lux.

    Attributes:
        key: its name in the state_dict.
        place: the names on the way to it in Lux.
        in_state: whether that way starts at the state, and not at the parameters.
        transposed: as in [`Layer`][].
        shape, dtype: those of the tensor.
    """

    key: str
    place: tuple[str, ...]
    in_state: bool
    transposed: bool
    shape: torch.Size
    dtype: torch.dtype


def leaves(
    network: Layer | Chain, tensors: Mapping[str, Tensor], key: str = "", place: tuple[str, ...] = ()
) -> Iterator[Leaf]:
    """All tensors that Lux has, too; `key` and `place` are the prefixes of `network`."""
    if isinstance(network, Chain):
        for name, layer in network.layers.items():
            yield from leaves(layer, tensors, f"{key}{name}.", (*place, network.names[name]))
        return
    for in_state, names in ((False, network.parameters), (True, network.statistics)):
        for theirs, ours in names.items():
            tensor, transposed = tensors[key + ours], ours in network.transposed
            yield Leaf(key + ours, (*place, theirs), in_state, transposed, tensor.shape, tensor.dtype)


def build(network: Layer | Chain, tensors: Mapping[str, Tensor]) -> tuple[Any, Any, Any]:
    """The model, its parameters and its state; Julia starts at the first call.

    Raises:
        EngineUnavailableError: Julia is not set up here.
        UnsupportedError: Lux is not in the Julia project.
    """
    bridge = start()
    return bridge.call("lux", "take", _make(bridge, network, tensors, ""))


def _make(bridge: Bridge, network: Layer | Chain, tensors: Mapping[str, Tensor], key: str) -> int:
    """Handle of the part of a network whose tensors have names that begin with `key`."""
    if isinstance(network, Chain):
        names = ",".join(network.names[name] for name in network.layers)
        parts = [_make(bridge, layer, tensors, f"{key}{name}.") for name, layer in network.layers.items()]
        return bridge.call("lux", "chain", names, ",".join(map(str, parts)))
    options, parameters, statistics = (bridge.call("options") for _ in range(3))
    for name, value in network.options.items():
        bridge.call("set_option", options, name, value)
    for number, names in ((parameters, network.parameters), (statistics, network.statistics)):
        for theirs, ours in names.items():
            tensor, transposed = tensors[key + ours].detach().contiguous(), ours in network.transposed
            bridge.call("lux", "set_array", number, theirs, *_memory(tensor), transposed)
    return bridge.call("lux", "layer", network.kind, options, parameters, statistics)


def flatten(ps: Any) -> Any:
    """Parameters as a `ComponentVector`.

    Raises:
        UnsupportedError: ComponentArrays is not in the Julia project.
    """
    return start().call("lux", "flat", ps)


def apply(model: Any, ps: Any, st: Any, x: Tensor) -> Tensor:
    """What a model makes of `x`.

    Raises:
        JuliaError: Julia raised an exception.
    """
    bridge, values = start(), x.detach().contiguous()
    try:
        handle, at, sizes = bridge.call("lux", "apply", model, ps, st, *_memory(values))
    except JuliaError as error:
        first = error.julia_message.strip().splitlines()[0]
        message = f"the Lux network fails for x of the shape {tuple(x.shape)}: {first}"
        raise JuliaError(message, error.julia_type, error.julia_message, error.julia_backtrace) from None
    return view(at, tuple(reversed(sizes)), x.dtype, owner=bridge.keep(handle))


def read(tree: Any, leaf: Leaf) -> Tensor:
    """The tensor at the place of a leaf in parameters or a state.

    Raises:
        InvalidProblemError: nothing is there, or something else.
    """
    tensor = torch.empty(leaf.shape, dtype=leaf.dtype, device="cpu")
    start().call("lux", "write_array", tree, ",".join(leaf.place), *_memory(tensor), leaf.transposed)
    return tensor


def is_julia(value: Any) -> bool:
    """Whether this is a value of Julia: anything else must not be met by code that runs without the GIL."""
    juliacall = sys.modules.get("juliacall")
    return juliacall is not None and isinstance(value, juliacall.AnyValue)


class _Memory(NamedTuple):
    """Where a contiguous tensor lies, its dimensions in Julia, and whether it is of single precision."""

    address: int
    dims: str
    single: bool


def _memory(tensor: Tensor) -> _Memory:
    return _Memory(address(tensor), dims(tensor.shape), tensor.dtype == torch.float32)
