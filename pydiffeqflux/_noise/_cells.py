"""The cells of a path: intervals with independent increments, which everything within them is made to fit."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .._errors import InvalidOptionError
from ._random import KeyedNormals, Stream

CHUNK_NUMBERS = 1 << 13
"""Cells are drawn in chunks of about so many numbers, and at least one cell."""

CHUNK_CELLS = 256
"""And of at most so many cells."""

KEPT = 4
"""So many chunks are kept."""


class Cells(ABC):
    """Consecutive intervals, numbered.

    Attributes:
        shape: that of an increment.
        normals: the numbers of the path.
    """

    def __init__(self, shape: tuple[int, ...], normals: KeyedNormals, dtype: np.dtype) -> None:
        self.shape, self.normals, self._dtype = shape, normals, dtype

    @abstractmethod
    def locate(self, t: float) -> tuple[int, float]:
        """The number of the cell that a time lies in, and the time since the start of the cell in widths of it."""

    @abstractmethod
    def start(self, index: int) -> float:
        """The time that a cell starts at."""

    @abstractmethod
    def width(self, index: int) -> float:
        """The width of a cell."""

    @abstractmethod
    def increments(self, first: int, last: int) -> NDArray:
        """The increments of the cells from `first` up to, and without, `last`: `(cells, *shape)`."""

    @abstractmethod
    def areas(self, first: int, last: int) -> NDArray:
        """Their space-time Lévy areas."""


class _Chunks:
    """Numbers for cells, drawn by the chunk."""

    def __init__(self, stream: Stream, shape: tuple[int, ...], normals: KeyedNormals, dtype: np.dtype) -> None:
        self._size = max(1, min(CHUNK_CELLS, CHUNK_NUMBERS // max(1, math.prod(shape))))
        self._stream, self._shape, self._normals, self._dtype = stream, shape, normals, dtype
        self._kept: OrderedDict[int, NDArray] = OrderedDict()

    def _chunk(self, number: int) -> NDArray:
        chunk = self._kept.get(number)
        if chunk is None:
            chunk = self._normals(self._stream, number, (self._size, *self._shape), self._dtype)
            self._kept[number] = chunk
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return chunk

    def __call__(self, first: int, last: int) -> NDArray:
        """Standard normal numbers for cells."""
        number, start = divmod(first, self._size)
        if start + last - first <= self._size:
            return self._chunk(number)[start : start + last - first]
        cells = np.empty((last - first, *self._shape), dtype=self._dtype)
        done = 0
        while done < len(cells):
            number, start = divmod(first + done, self._size)
            part = self._chunk(number)[start : start + len(cells) - done]
            cells[done : done + len(part)] = part
            done += len(part)
        return cells


class UniformCells(Cells):
    """Cells of one width, in both directions without end, but for shorter ones before times where they begin anew.

    Arguments:
        start: of the cell with the number 0.
        width: that of cells.
        restarts: later times at which a cell begins, increasing.
    """

    def __init__(
        self,
        start: float,
        width: float,
        restarts: Sequence[float],
        shape: tuple[int, ...],
        normals: KeyedNormals,
        dtype: np.dtype,
    ) -> None:
        super().__init__(shape, normals, dtype)
        self._width = width
        self._starts = [start, *restarts]
        self._firsts = [0]
        self._short: dict[int, float] = {}
        for begin, end in pairwise(self._starts):
            count = max(1, math.ceil((end - begin) / width - 1e-9))
            self._firsts.append(self._firsts[-1] + count)
            self._short[self._firsts[-1] - 1] = end - (begin + (count - 1) * width)
        self._increments = _Chunks(Stream.INCREMENTS, shape, normals, dtype)
        self._areas = _Chunks(Stream.AREAS, shape, normals, dtype)

    def locate(self, t: float) -> tuple[int, float]:
        part = max(bisect_right(self._starts, t) - 1, 0)
        position = (t - self._starts[part]) / self._width
        index = math.floor(position) + self._firsts[part]
        if part + 1 < len(self._firsts) and index >= self._firsts[part + 1] - 1:
            index = self._firsts[part + 1] - 1
            begin = self._starts[part] + (index - self._firsts[part]) * self._width
            return index, (t - begin) / self.width(index)
        return index, position - math.floor(position)

    def start(self, index: int) -> float:
        part = max(bisect_right(self._firsts, index) - 1, 0)
        return self._starts[part] + (index - self._firsts[part]) * self._width

    def width(self, index: int) -> float:
        return self._short.get(index, self._width)

    def increments(self, first: int, last: int) -> NDArray:
        return self._scaled(self._increments(first, last), first, last, 1.0)

    def areas(self, first: int, last: int) -> NDArray:
        return self._scaled(self._areas(first, last), first, last, 12.0)

    def _scaled(self, numbers: NDArray, first: int, last: int, divisor: float) -> NDArray:
        if last - first == 1:
            return numbers * self._dtype.type(math.sqrt(self.width(first) / divisor))
        scales = np.array([math.sqrt(self.width(i) / divisor) for i in range(first, last)], dtype=self._dtype)
        return numbers * scales.reshape(-1, *(1 for _ in self.shape))


class GivenCells(Cells):
    """Cells between times at which the path is given."""

    def __init__(self, times: NDArray, values: NDArray, normals: KeyedNormals, dtype: np.dtype) -> None:
        super().__init__(values.shape[1:], normals, dtype)
        self._times = times.tolist()
        self._increments = np.diff(values, axis=0).astype(dtype)
        self._scales = np.sqrt(np.diff(times) / 12.0).astype(dtype).reshape(-1, *(1 for _ in self.shape))
        self._areas = _Chunks(Stream.AREAS, self.shape, normals, dtype)

    def locate(self, t: float) -> tuple[int, float]:
        times = self._times
        slack = 1e-9 * (times[-1] - times[0])
        if not times[0] - slack <= t <= times[-1] + slack:
            raise InvalidOptionError(
                f"the noise is given from t = {times[0]} to {times[-1]}, but t = {t} was asked for; give it for all of "
                "the time span."
            )
        index = min(max(bisect_right(times, t) - 1, 0), len(times) - 2)
        return index, (t - times[index]) / self.width(index)

    def start(self, index: int) -> float:
        return self._times[index]

    def width(self, index: int) -> float:
        return self._times[index + 1] - self._times[index]

    def increments(self, first: int, last: int) -> NDArray:
        return self._increments[first:last]

    def areas(self, first: int, last: int) -> NDArray:
        return self._areas(first, last) * self._scales[first:last]
