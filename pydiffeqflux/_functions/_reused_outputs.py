"""Outputs of the right-hand side that it may write to again."""

import sys

from torch import Tensor


def _references(k: object) -> int:
    return sys.getrefcount(k)


def _references_of_a_new_object() -> int:
    k = object()
    return _references(k)


_ALONE = _references_of_a_new_object()
"""What is counted for an object that nobody but the caller of `OutputOwner.own` holds."""


class OutputOwner:
    """Copies outputs of `f` that are not its caller's alone; to find that out costs less than a copy.

    An `f` written for SciPy or in the style of in-place Julia fills one array and returns it each time, or hands back
    its argument. Stages must not change while a step is being made.
    """

    def __init__(self) -> None:
        self._last: object = None  # kept alive, so that no new output can lie at the same address
        self._address = 0

    def own(self, k: Tensor, u: Tensor) -> Tensor:
        """`k`, or a copy of it where someone else holds it: `f` itself, an array, the state `u`, or the last output."""
        address = k.data_ptr()
        held = (
            sys.getrefcount(k) > _ALONE
            or address == self._address
            or address == u.data_ptr()
            or self._last is None  # there is nothing to compare it with
        )
        self._last = k.untyped_storage() if k.requires_grad else k  # a graph must not live longer for this
        self._address = address
        return k.clone() if held else k
