"""Parameters `p`: tensors nested in dicts, lists and tuples."""

from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import InvalidProblemError


def as_parameters(p: Any, *, dtype: torch.dtype, device: torch.device) -> Any:
    """The same nesting with every number and array made a tensor; numbers take `dtype` and `device`.

    Raises:
        InvalidProblemError: a leaf is neither tensor, array nor number.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return outside_inference_mode(leaf)
        if isinstance(leaf, np.ndarray):
            return torch.from_numpy(np.ascontiguousarray(leaf)).to(device)
        if isinstance(leaf, Real):
            return torch.tensor(float(leaf), dtype=dtype, device=device)
        raise InvalidProblemError(
            f"p may hold tensors, arrays and numbers in dicts, lists and tuples; found {type(leaf).__name__}. "
            "Put other objects into the closure of f."
        )

    return map_leaves(p, convert)


def outside_inference_mode(x: Tensor) -> Tensor:
    """`x`, or a copy that autograd can work with where `x` was made under `torch.inference_mode`."""
    if not x.is_inference():
        return x
    with torch.inference_mode(mode=False):
        return x.clone()


def map_leaves(tree: Any, fn: Callable[[Any], Any]) -> Any:
    """Apply `fn` to every leaf, keeping the nesting. `None` is an empty tree."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: map_leaves(value, fn) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(value, fn) for value in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_leaves(value, fn) for value in tree)
    return fn(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves of a nesting, in order."""
    found: list[Any] = []
    map_leaves(tree, found.append)
    return iter(found)


def structure(tree: Any) -> Any:
    """A value that is the same for nestings of the same keys and types with tensors of the same kinds."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return dict, tuple(tree), tuple(structure(value) for value in tree.values())
    if isinstance(tree, list | tuple):
        return type(tree), tuple(structure(value) for value in tree)
    return tree.shape, tree.dtype, tree.device, tree.requires_grad


def replace_leaves(tree: Any, values: list[Any]) -> Any:
    """The same nesting with its leaves taken from `values`, in order."""
    supply = iter(values)
    return map_leaves(tree, lambda _: next(supply))
