"""Brownian motion within one cell, whose increment and area are known."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._random import KeyedNormals, Stream

BRANCHES = 8
"""Each part of a cell is divided into so many."""

DEPTH = 8
"""So often."""

TICKS = BRANCHES**DEPTH
"""The time within a cell is counted in these."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """The motion on an interval, seen from its start.

    Attributes:
        w: where it is at the end.
        integral: its integral over time.
    """

    w: Array
    integral: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The parts of an interval.

    Attributes:
        w, h: increment and area of each, `(B, *shape)`.
        start_w, start_integral: the motion at the start of each, and its integral until then.
    """

    w: Array
    h: Array
    start_w: Array
    start_integral: Array


@dataclass(eq=False)
class Bridge:
    """The motion within one cell.

    An interval of which the increment W and the area H are known (the mean over the interval of how far the motion is
    from the straight line between its ends) is divided into parts by drawing increments and areas of these freely, and
    moving them to where their sum and their joint area are as they must be: for Gaussian variables the result has the
    conditional distribution.

    Arguments:
        normals: the numbers of the path.
        index: that of the cell.
        width: of the cell.
        w, h: the increment and the area of the whole cell.
    """

    normals: KeyedNormals
    index: int
    width: float
    w: Array
    h: Array
    _known: dict[int, tuple[int, _Parts]] = field(default_factory=dict)

    def until(self, tick: int) -> Motion:
        """The motion from the start of the cell on, for so many ticks."""
        if tick == TICKS:
            return Motion(self.w, self.width * (0.5 * self.w + self.h))
        w = integral = np.zeros_like(self.w)
        part_w, part_h, width = self.w, self.h, self.width
        node, size = 0, TICKS
        for level in range(DEPTH):
            if tick == 0:
                break
            parts = self._parts(level, node, width, part_w, part_h)
            size //= BRANCHES
            width /= BRANCHES
            digit, tick = divmod(tick, size)
            integral = integral + (digit * width) * w + parts.start_integral[digit]
            w = w + parts.start_w[digit]
            part_w, part_h = parts.w[digit], parts.h[digit]
            node = node * BRANCHES + digit
        return Motion(w, integral)

    def _parts(self, level: int, node: int, width: float, w: Array, h: Array) -> _Parts:
        """The parts of an interval; of each level those of one interval are kept."""
        known = self._known.get(level)
        if known is None or known[0] != node:
            known = self._known[level] = node, self._divide(level, node, width, w, h)
        return known[1]

    def _divide(self, level: int, node: int, width: float, w: Array, h: Array) -> _Parts:
        free = self.normals(Stream.BRIDGES + level, self.index * BRANCHES**level + node, (2, BRANCHES, *w.shape))
        width /= BRANCHES
        lever = _LEVER.reshape(-1, *(1 for _ in w.shape))
        ws = free[0] * math.sqrt(width)
        hs = free[1] * math.sqrt(width / 12.0)
        missing_w = w - ws.sum(axis=0)
        missing_h = h - hs.mean(axis=0) - (lever * ws).sum(axis=0)
        ws += missing_w / BRANCHES + lever * (12.0 / BRANCHES) * missing_h
        hs += missing_h / BRANCHES**2
        start_w = np.cumsum(ws, axis=0) - ws
        integrals = width * (start_w + 0.5 * ws + hs)
        return _Parts(ws, hs, start_w, np.cumsum(integrals, axis=0) - integrals)


_LEVER = np.array([(BRANCHES - 1 - 2 * i) / (2 * BRANCHES) for i in range(BRANCHES)])
"""What an increment of each part adds to the area of the whole."""
