"""Brownian paths that can be asked for any time, in any order."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._errors import InvalidOptionError
from ._bridge import TICKS, Bridge, Motion
from ._cells import Cells, GivenCells, UniformCells
from ._random import KeyedNormals

_DTYPES = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
_CELLS = 64
"""A time span is divided into so many cells where no step size is given."""
_STRIDE = 1024
"""W itself is known at every such cell, once it was asked for."""
_FINE = 8
"""Ends of steps are moved to times that are at least so many times finer than the step."""


class BrownianPath:
    r"""One path W of independent standard Brownian motions, with W(t0) = 0.

    The path is a function of its seed and its grid: whoever asks for whatever times in whatever order, forwards or
    backwards, gets the same values, and so does another process that has the pickled path. Cells of width `dt` have
    independent increments, drawn from a generator that is indexed by the seed and the number of the cell. Within a cell
    the motion is refined, where it is asked for, by conditional sampling of increments and space-time Lévy areas, to
    8^-8 dt. No more is kept than the latest cells.

    Arguments:
        tspan: `(t0, t1)`. The path goes on beyond it in both directions.
        shape: that of W; for a problem with diagonal noise that of `u0`, with m motions `(*u0.shape[:-1], m)`.
        seed: a non-negative whole number; `None` draws one from torch's generator.
        dt: the width of a cell, `None` for a 64th of the time span. Increments over whole cells cost least, so it
            should be the step size where that is fixed.
        restarts: later times at which a cell begins, strictly increasing, as steps do at times to save at.
        dtype: float32 or float64, that of the states it is meant for.
        device: where increments are put; they are drawn on the CPU.

    Attributes:
        t0, dt, restarts, shape, seed, dtype, device: as given.
        resolution: times that are not further apart than this may be taken for the same.

    Raises:
        InvalidOptionError: an argument cannot be used.

    Engines: both. References: Foster, Lyons, Oberhauser 2020, *An optimal polynomial approximation of Brownian
    motion*; Jelinčič, Foster, Kidger 2024, *Single-seed generation of Brownian paths and integrals for adaptive and
    high order SDE solvers*.

    >>> path = BrownianPath((0.0, 1.0), (3,), seed=1)
    >>> late = path(0.9)
    >>> bool((path(0.3) + path.increment(0.3, 0.9) - late).abs().max() < 1e-12)
    True
    """

    def __init__(
        self,
        tspan: Sequence[float],
        shape: Sequence[int],
        *,
        seed: int | None = None,
        dt: float | None = None,
        restarts: Sequence[float] = (),
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        t0, t1 = (float(t) for t in tspan)
        if not (math.isfinite(t0) and math.isfinite(t1)) or t0 == t1:
            raise InvalidOptionError(f"tspan must be two different, finite times, not {tuple(tspan)}.")
        width = abs(t1 - t0) / _CELLS if dt is None else abs(float(dt))
        if not (math.isfinite(width) and width > 0.0):
            raise InvalidOptionError(f"dt is {dt}; the cells of a path need a positive width.")
        self._set_up(shape, seed, dtype, device)
        self.restarts = tuple(float(t) for t in restarts)
        if any(not math.isfinite(t) for t in self.restarts) or any(b <= a for a, b in pairwise((t0, *self.restarts))):
            raise InvalidOptionError("restarts must be finite, strictly increase, and be later than the start.")
        self.t0, self.dt = t0, width
        self._cells: Cells = UniformCells(t0, width, self.restarts, self.shape, self._normals, _DTYPES[dtype])
        self.resolution = width / TICKS
        self._given: tuple[Any, Any] | None = None

    @classmethod
    def from_values(
        cls,
        t: Sequence[float] | NDArray[Any] | Tensor,
        w: NDArray[Any] | Tensor,
        *,
        seed: int = 0,
    ) -> "BrownianPath":
        """A path through given values; between them it is drawn from `seed`, as the motion is that passes them.

        Arguments:
            t: times, increasing, shape `(T,)`, T at least 2.
            w: values `(T, *shape)` at these times, float32 or float64; only their differences matter.
            seed: as above.

        Raises:
            InvalidOptionError: times do not increase, or the shapes do not fit.

        >>> path = BrownianPath.from_values([0.0, 0.5, 1.0], torch.tensor([[0.0], [0.3], [-0.1]]))
        >>> path.increment(0.0, 0.5).item()
        0.30000001192092896
        """
        values = w if isinstance(w, Tensor) else torch.as_tensor(np.asarray(w))
        if values.requires_grad:
            raise InvalidOptionError("the values of a path have no gradient; detach them.")
        times = np.asarray(t.detach().cpu() if isinstance(t, Tensor) else t, dtype=np.float64)
        if times.ndim != 1 or len(times) < 2 or values.ndim == 0 or len(values) != len(times):
            raise InvalidOptionError(
                f"a path needs at least two times and as many values, not t of shape {times.shape} and w of shape "
                f"{tuple(values.shape)}."
            )
        if not np.isfinite(times).all() or any(late <= early for early, late in pairwise(times)):
            raise InvalidOptionError("the times of a path must be finite and strictly increase; sort them.")
        if values.dtype not in _DTYPES:
            raise InvalidOptionError(f"the values of a path must be float32 or float64, not {values.dtype}.")
        if not bool(torch.isfinite(values).all()):
            raise InvalidOptionError("the values of a path must be finite.")
        path = cls.__new__(cls)
        path._set_up(values.shape[1:], seed, values.dtype, values.device)
        widths = np.diff(times)
        path.t0, path.dt, path.restarts = float(times[0]), float(widths.max()), ()
        path._cells = GivenCells(times, values.numpy(force=True), path._normals, _DTYPES[values.dtype])
        path.resolution = float(widths.min()) / TICKS
        path._given = (times, values.cpu())
        return path

    def _set_up(self, shape: Sequence[int], seed: int | None, dtype: torch.dtype, device: Any) -> None:
        if dtype not in _DTYPES:
            raise InvalidOptionError(f"a path has dtype float32 or float64, not {dtype}.")
        self.shape = torch.Size(shape)
        self.seed = as_seed(seed)
        self.dtype, self.device = dtype, torch.device(device)
        self._normals = KeyedNormals(self.seed)
        self._bridges: dict[int, Bridge] = {}
        self._totals: dict[int, NDArray] = {}

    # ---- what it is

    @property
    def is_given(self) -> bool:
        """Whether it goes through given values."""
        return self._given is not None

    def __repr__(self) -> str:
        if self._given is not None:
            return f"BrownianPath.from_values({len(self._given[0])} times, shape={tuple(self.shape)}, seed={self.seed})"
        return f"BrownianPath(t0={self.t0}, dt={self.dt}, shape={tuple(self.shape)}, seed={self.seed})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._given is not None:
            return _from_values, (*self._given, self.seed, self.device)
        return _from_seed, (self.t0, self.dt, self.restarts, tuple(self.shape), self.seed, self.dtype, self.device)

    # ---- what it does

    def __call__(self, t: float) -> Tensor:
        """W(t), zero at `t0`, of shape `self.shape`."""
        index, tick = self._tick(float(t))
        return self._tensor(self._total(index) + self._until(index, tick).w)

    def increment(self, a: float, b: float) -> Tensor:
        """W(b) - W(a)."""
        start, end = (i, x), (j, y) = self._tick(a), self._tick(b)
        if x == 0 and y == 0 and i <= j:
            cells = self._cells.increments(i, j)
            return self._tensor(cells[0] if len(cells) == 1 else cells.sum(axis=0))
        return self._tensor(self._motion(start, end).w)

    def increment_and_area(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """W(b) - W(a), and the space-time Lévy area: the mean of W over the interval less that of its ends.

        The latter is independent of the increment and has variance `|b - a| / 12`.
        """
        start, end = (i, x), (j, y) = self._tick(a), self._tick(b)
        if x == 0 and y == 0 and j == i + 1:
            w, h = self._cell(i)
            return self._tensor(w), self._tensor(h)
        motion = self._motion(start, end)
        length = abs(self._time(*end) - self._time(*start))
        if length == 0.0:
            return self._tensor(motion.w), self._tensor(0.0 * motion.w)
        return self._tensor(motion.w), self._tensor(motion.integral / length - 0.5 * motion.w)

    def cells(self, a: float, b: float, *, areas: bool) -> tuple[list[float], Tensor, Tensor | None]:
        """The cells that lie between two times, and those that these lie in.

        Arguments:
            a: the earlier time.
            b: the later time.
            areas: whether the areas are wanted.

        Returns:
            The n + 1 times at their ends, the increments `(n, *shape)`, and the areas likewise, or `None`.
        """
        (i, _), (j, y) = self._tick(a), self._tick(b)
        last = j + (y > 0)
        times = [self._cells.start(index) for index in range(i, last + 1)]
        w = self._tensor(self._cells.increments(i, last))
        return times, w, self._tensor(self._cells.areas(i, last)) if areas else None

    def near(self, t: float, dt: float) -> float:
        """A time close to `t + dt`, by a small part of `dt`, at which increments cost less."""
        if self.is_given or self.restarts or not math.isfinite(dt):
            return t + dt
        grain = self.dt
        while grain > self.resolution and _FINE * grain > abs(dt):
            grain /= 8.0
        return self.t0 + round((t + dt - self.t0) / grain) * grain

    # ---- how

    def _tick(self, t: float) -> tuple[int, int]:
        index, fraction = self._cells.locate(t)
        tick = round(fraction * TICKS)
        if tick == TICKS and not self.is_given:
            return index + 1, 0
        return index, tick

    def _time(self, index: int, tick: int) -> float:
        """The time that this stands for."""
        return self._cells.start(index) + tick / TICKS * self._cells.width(index)

    def _until(self, index: int, tick: int) -> Motion:
        if tick == 0:
            zero = np.zeros(self.shape)
            return Motion(zero, zero)
        bridge = self._bridges.get(index)
        if bridge is None:
            if len(self._bridges) > 1:
                self._bridges.pop(next(iter(self._bridges)))
            w, h = (values.astype(np.float64) for values in self._cell(index))
            bridge = self._bridges[index] = Bridge(self._normals, index, self._cells.width(index), w, h)
        return bridge.until(tick)

    def _cell(self, index: int) -> tuple[NDArray, NDArray]:
        """The increment and the area of a whole cell."""
        return self._cells.increments(index, index + 1)[0], self._cells.areas(index, index + 1)[0]

    def _motion(self, start: tuple[int, int], end: tuple[int, int]) -> Motion:
        """The motion from a cell and tick to others; against the time where these are earlier."""
        if start > end:
            motion = self._motion(end, start)
            length = self._time(*start) - self._time(*end)
            return Motion(-motion.w, motion.integral - length * motion.w)
        (i, x), (j, y) = start, end
        before = self._until(i, x)
        if i == j:
            after = self._until(i, y)
            length = (y - x) / TICKS * self._cells.width(i)
            return Motion(after.w - before.w, after.integral - before.integral - length * before.w)
        whole = self._until(i, TICKS)
        rest = (TICKS - x) / TICKS * self._cells.width(i)
        w, integral = whole.w - before.w, whole.integral - before.integral - rest * before.w
        for index in range(i + 1, j):
            width = self._cells.width(index)
            step, area = self._cell(index)
            integral = integral + width * (w + 0.5 * step + area)
            w = w + step
        last = self._until(j, y)
        length = y / TICKS * self._cells.width(j)
        return Motion(w + last.w, integral + length * w + last.integral)

    def _total(self, index: int) -> NDArray:
        """The sum of the increments of all cells before one; some sums on the way are kept."""
        block, rest = divmod(index, _STRIDE)
        if block not in self._totals:
            total = np.zeros(self.shape)
            self._totals[0] = total
            forwards = block > 0
            for number in range(block) if forwards else range(-1, block - 1, -1):
                part = self._cells.increments(number * _STRIDE, (number + 1) * _STRIDE).sum(axis=0)
                total = total + part if forwards else total - part
                self._totals[number + 1 if forwards else number] = total
        return self._totals[block] + self._cells.increments(index - rest, index).sum(axis=0)

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)


def as_seed(seed: Any) -> int:
    """A seed as a number; one that torch's generator draws for `None`.

    Raises:
        InvalidOptionError: it is not a non-negative whole number.
    """
    if seed is None:
        return int(torch.randint(2**63 - 1, ()))
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InvalidOptionError(f"seed must be a non-negative whole number, not {seed!r}.")
    return int(seed)


def _from_seed(
    t0: float,
    dt: float,
    restarts: tuple[float, ...],
    shape: tuple[int, ...],
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
) -> BrownianPath:
    return BrownianPath((t0, t0 + dt), shape, seed=seed, dt=dt, restarts=restarts, dtype=dtype, device=device)


def _from_values(times: NDArray, values: Tensor, seed: int, device: torch.device) -> BrownianPath:
    return BrownianPath.from_values(times, values.to(device), seed=seed)
