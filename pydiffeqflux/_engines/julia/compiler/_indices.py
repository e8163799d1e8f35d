"""Indices that torch turns into Python numbers, as ones that stay in the graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

WHOLE = slice(None)


def select(x: Tensor, index: Any) -> Tensor | None:
    """A copy of `x[index]` where single positions are computed, as in a table that is interpolated; else `None`.

    Torch would read such a position as a number, which a graph does not have.
    """
    parts = index if isinstance(index, tuple) else (index,)
    positions = [part for part in parts if _is_position(part)]
    others = [part for part in parts if not _is_position(part)]
    if not positions or not all(part is None or part is Ellipsis or type(part) in (int, slice) for part in others):
        return None
    consumed = sum(part is not None and part is not Ellipsis for part in parts)
    dims, found = 0, []
    for part in parts:
        if _is_position(part):
            found.append(dims)
        if part is Ellipsis:
            dims += x.ndim - consumed
        elif not isinstance(part, int):
            dims += 1
    result = x[tuple(WHOLE if _is_position(part) else part for part in parts)]
    for dim, position in reversed(list(zip(found, positions, strict=True))):
        result = result[(*(WHOLE,) * dim, position.reshape(1))].squeeze(dim)
    return result


def _is_position(part: Any) -> bool:
    is_position = isinstance(part, Tensor) and part.ndim == 0 and part.dtype in (torch.int64, torch.int32)
    return is_position and not is_captured(part)


def is_captured(tensor: Tensor) -> bool:
    """Whether a tensor is a real one, not made under the tracer."""
    return not isinstance(tensor, FakeTensor) and not is_functorch_wrapped_tensor(tensor)


def without_conditions(index: Any, read: Callable[[Tensor], None]) -> Any:
    """The index with the positions where captured conditions hold in their place; `read` is told of these."""
    parts = index if isinstance(index, tuple) else (index,)
    fresh: list[Any] = []
    for part in parts:
        if isinstance(part, Tensor) and part.dtype == torch.bool and part.ndim and is_captured(part):
            read(part)
            fresh.extend(torch.tensor(places, dtype=torch.int64) for places in _places(part))
        else:
            fresh.append(part)
    return tuple(fresh)


def _places(condition: Tensor) -> list[list[int]]:
    """Where a condition holds, as the indices along each dimension."""

    def walk(values: Any, before: tuple[int, ...]) -> list[tuple[int, ...]]:
        if isinstance(values, bool):
            return [before] if values else []
        return [place for k, value in enumerate(values) for place in walk(value, (*before, k))]

    places = walk(condition.tolist(), ())
    return [[place[d] for place in places] for d in range(condition.ndim)]
