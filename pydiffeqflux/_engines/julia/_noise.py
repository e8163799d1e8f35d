"""A Brownian path as Julia asks for it."""

import ctypes
import math

import torch
from torch import Tensor

from ..._noise import BrownianPath, NoiseKind, NoiseLayout
from ._arguments import NoiseArguments, address, doubles
from ._callbacks import Guard

_NOISE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double, ctypes.c_double)
_SAME = 1e-9
"""Step sizes that differ by less than this share of them are the same."""


class SolveNoise:
    """The noise of one solve.

    Where steps are the cells of the path, their increments are handed over at once; for others Julia calls back.

    Arguments:
        path: the path.
        layout: how it enters.
        shape: that of the state.
        guard: that of the functions of the equation.
        tspan: the time span.
        dt: the step size, where that is fixed.
        with_areas: whether the method may ask for space-time Lévy areas.
        keep: whether the noise of every step is kept for a gradient.
    """

    def __init__(
        self,
        path: BrownianPath,
        layout: NoiseLayout,
        shape: torch.Size,
        guard: Guard,
        tspan: tuple[float, float],
        *,
        dt: float | None,
        with_areas: bool,
        keep: bool,
    ) -> None:
        self._path, self._layout, self._shape, self._with_areas = path, layout, shape, with_areas
        self._n = shape.numel() if layout.is_elementwise else layout.shape.numel()
        self._w, self._area = (torch.zeros(self._n, dtype=path.dtype) for _ in range(2))
        self._draw = _NOISE(lambda a, b: guard(self._write, a, b))
        arguments = self.arguments = NoiseArguments(
            single=int(path.dtype == torch.float32),
            n=self._n,
            with_areas=int(with_areas),
            keep=int(keep),
            t0=tspan[0],
            noise=ctypes.cast(self._draw, ctypes.c_void_p).value or 0,
            w=address(self._w),
            area=address(self._area),
        )
        if dt is not None and tspan[1] > tspan[0] and (path.is_given or math.isclose(path.dt, dt, rel_tol=_SAME)):
            self._hand_over(arguments, *tspan)

    def _hand_over(self, arguments: NoiseArguments, t0: float, t1: float) -> None:
        times, w, area = self._path.cells(t0, t1, areas=self._with_areas)
        self._times, self._increments = doubles(times), self._flat(w)
        arguments.count, arguments.times, arguments.increments = len(w), address(self._times), address(self._increments)
        if area is not None:
            self._areas = self._flat(area)
            arguments.areas = address(self._areas)

    def _write(self, a: float, b: float) -> None:
        if self._with_areas:
            w, area = self._path.increment_and_area(a, b)
            self._area.copy_(self._flat(area.unsqueeze(0))[0])
        else:
            w = self._path.increment(a, b)
        self._w.copy_(self._flat(w.unsqueeze(0))[0])

    def _flat(self, w: Tensor) -> Tensor:
        """Increments `(k, *layout.shape)` as `(k, n)`; where a row has one motion, that for each of its elements."""
        if self._layout.kind is NoiseKind.SCALAR and self._shape:
            w = w.expand(len(w), *self._shape)
        return w.reshape(len(w), self._n).contiguous()
