"""The times at which a step may ask for the right-hand side.

A stage at the end of a step must not lie beyond it by rounding, where `f` may have no value. And where two steps meet
at a discontinuity of `f`, each must see `f` from its own side: there the step that ends sees the last representable
time before the discontinuity, and the one that starts the first one after it, whatever `f` is at the time itself.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._base import SolveSpec
from ._protocols import LinearSystem, Rhs, Time

Window = tuple[float, float]
"""The first and the last time, whatever the direction of integration."""


class Sides:
    """The discontinuities of a problem, and what a step may see of them.

    Arguments:
        times: where `f` is discontinuous. Steps must end there.
        dtype: that of the times that `f` receives.
    """

    def __init__(self, times: Iterable[float] = (), dtype: torch.dtype = torch.float64) -> None:
        kind = np.float32 if dtype == torch.float32 else np.float64
        self._kind = kind
        self._tiny = float(np.finfo(kind).tiny)  # subnormal numbers may be taken for zero
        self._neighbours: dict[float, Window] = {}
        for time in times:
            self.add(time)

    def add(self, time: float) -> None:
        """Take a time for a discontinuity from now on."""
        kind, tiny = self._kind, self._tiny
        before, after = (float(np.nextafter(kind(time), kind(end))) for end in (-np.inf, np.inf))
        self._neighbours[time] = (-tiny, tiny) if abs(time) < tiny else (before, after)

    def __contains__(self, time: float) -> bool:
        return time in self._neighbours

    def between(self, a: float, b: float) -> list[float]:
        """The discontinuities strictly between two times, in the direction from `a` to `b`."""
        return sorted((t for t in self._neighbours if min(a, b) < t < max(a, b)), reverse=b < a)

    def window(self, t: float, end: float, dt: float, *, inside: bool = True) -> Window | None:
        """The times that a step may see; `None` where it sees no others.

        Arguments:
            t: its start.
            end: its end.
            dt: its size, which is the difference up to rounding.
            inside: whether it looks at times `t + c dt` with c from 0 to 1 only. One that looks further may do so where
                `f` has no discontinuity.
        """
        if t not in self._neighbours and end not in self._neighbours and (t + dt == end or not inside):
            return None
        forwards = end > t
        first = self._neighbours[t][forwards] if t in self._neighbours else t
        last = self._neighbours[end][not forwards] if end in self._neighbours else end
        low, high = (first, last) if forwards else (last, first)
        return (low, high) if low <= high else (first, first)


def sides_of(spec: SolveSpec) -> Sides:
    """The sides of a solve. `tstops` are where `f` may be discontinuous, so they count as well."""
    return Sides({*spec.options.tstops, *spec.options.d_discontinuities}, spec.rhs.dtype)


class _Within:
    """A right-hand side that is never asked for times outside of a window."""

    def __init__(self, rhs: Rhs, low: Any, high: Any) -> None:
        self.shape, self.dtype, self.device, self.mass = rhs.shape, rhs.dtype, rhs.device, rhs.mass
        self._rhs: Any = rhs
        self._low, self._high = low, high

    def _clamp(self, t: Time) -> Time:
        return t.clamp(self._low, self._high) if isinstance(t, Tensor) else min(max(t, self._low), self._high)

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        return self._rhs(u, self._clamp(t))

    def diffusion(self, u: Tensor, t: Time) -> Tensor:
        return self._rhs.diffusion(u, self._clamp(t))

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, LinearSystem, Tensor | None]:
        t = self._clamp(t)
        return self._rhs.linearise(u, t, self._clamp(t + ahead) - t)


def within(rhs: Rhs, window: tuple[Any, Any] | None) -> Rhs:
    """`rhs` for the stages of a step. Under `torch.vmap` times are tensors, and so are those of the window."""
    return rhs if window is None else _Within(rhs, *window)
