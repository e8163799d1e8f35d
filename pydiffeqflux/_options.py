"""The options of `solve`, checked once and shared by all engines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._controllers import AbstractController
from ._errors import InvalidOptionError


@dataclass(frozen=True, eq=False)
class SolveOptions:
    """Options of a solve. Times are Python floats whatever the dtype of the state.

    Attributes:
        saveat: the times to save at, in the direction of integration; `None` saves every step.
        save_start, save_end: with `saveat=None`, whether the ends of the time span are among the saved times; `saveat`
            itself has them where they are wanted.
        save_everystep: with `saveat=None`, whether the end of every step is saved.
        dense: whether the solution can be evaluated at any time.
        abstol, reltol: tolerances, numbers or tensors that broadcast against the state.
        dt: step size of a fixed-step solve, initial step size of an adaptive one; always positive.
        adaptive: whether the step size follows the error estimate.
        dtmin, dtmax: bounds of the step size.
        maxiters: bound of the number of steps, rejected ones included.
        tstops: times that a step must end at, in the direction of integration.
        d_discontinuities: times at which `f` is discontinuous, likewise; steps end there, too, and see `f` from their
            own side.
        controller: step size controller, `None` for the algorithm's own.
        progress: whether to show a progress bar.
        verbose: whether a solve that fails warns.
        compile: whether the julia engine compiles a torch function; `None` where it can.
    """

    saveat: tuple[float, ...] | None
    save_start: bool
    save_end: bool
    save_everystep: bool
    dense: bool
    abstol: float | Tensor
    reltol: float | Tensor
    dt: float | None
    adaptive: bool
    dtmin: float
    dtmax: float
    maxiters: int
    tstops: tuple[float, ...]
    d_discontinuities: tuple[float, ...]
    controller: AbstractController | None
    progress: bool
    verbose: bool
    compile: bool | None = None

    def stops_after(self, t0: float, *, saved: bool) -> list[float]:
        """The times after the start that steps must end at, in order; with `saved` those to save at as well."""
        times = {*self.tstops, *self.d_discontinuities, *(self.saveat or () if saved else ())} - {t0}
        return sorted(times, reverse=any(t < t0 for t in times))

    def first_time(self, tspan: tuple[float, float], dtype: torch.dtype) -> float:
        """The start, or the first time after it that can be told from it, where `f` is discontinuous there."""
        t0, t1 = tspan
        if t0 not in {*self.tstops, *self.d_discontinuities}:
            return t0
        kind = np.float32 if dtype == torch.float32 else np.float64
        return float(np.nextafter(kind(t0), kind(t1)))


def check_tolerance(name: str, value: Any, u0: Tensor) -> float | Tensor:
    """A tolerance as a number, or as a tensor that broadcasts against the state."""
    if isinstance(value, np.ndarray | Tensor) and value.ndim > 0:
        tensor = torch.as_tensor(value).detach()
        tensor = tensor.to(device=u0.device, dtype=u0.real.dtype if u0.is_complex() else u0.dtype)
        try:
            fits = tensor.expand(u0.shape).shape == u0.shape
        except RuntimeError:
            fits = False
        if not fits or bool((tensor < 0).any()) or not bool(tensor.isfinite().all()):
            raise InvalidOptionError(
                f"{name} must be non-negative and broadcast against u0 of shape {tuple(u0.shape)}; "
                f"it has shape {tuple(tensor.shape)}."
            )
        return tensor.unsqueeze(-1) if u0.is_complex() else tensor
    number = _number(name, value)
    if number < 0:
        raise InvalidOptionError(f"{name} is {number}; tolerances must not be negative.")
    return number


def check_saveat(
    saveat: float | Sequence[float] | NDArray[Any] | Tensor | None, tspan: tuple[float, float]
) -> tuple[float, ...] | None:
    """`saveat` as explicit times. A number means every so often from t0 on, with t1 always included, as in Julia."""
    if saveat is None:
        return None
    t0, t1 = tspan
    if isinstance(saveat, Real | np.generic) or (isinstance(saveat, np.ndarray | Tensor) and saveat.ndim == 0):
        step = abs(_number("saveat", saveat))
        if step == 0:
            raise InvalidOptionError("saveat=0 saves nowhere; give an interval, a list of times, or None.")
        count = math.floor(abs(t1 - t0) / step * (1 + 1e-12))
        times = [t0 + math.copysign(step, t1 - t0) * i for i in range(count + 1)]
        if abs(times[-1] - t1) <= 1e-9 * step:
            times[-1] = t1
        else:
            times.append(t1)
        return tuple(times)
    return _times("saveat", saveat, tspan)


def with_ends(
    saveat: tuple[float, ...] | None, tspan: tuple[float, float], save_start: bool | None, save_end: bool | None
) -> tuple[float, ...] | None:
    """`saveat` with the ends of the time span put in or left out where that is asked for."""
    if saveat is None:
        return None
    (t0, t1), times = tspan, saveat
    if save_start is not None:
        times = ((t0,) if save_start else ()) + tuple(t for t in times if t != t0)
    if save_end is not None:
        times = tuple(t for t in times if t != t1) + ((t1,) if save_end else ())
    return times


def check_stops(
    name: str, stops: Sequence[float] | NDArray[Any] | Tensor | None, tspan: tuple[float, float]
) -> tuple[float, ...]:
    """`tstops` or `d_discontinuities` in the direction of integration."""
    return () if stops is None else _times(name, stops, tspan)


def check_positive(name: str, value: Any) -> float:
    """A number above zero; infinity is allowed."""
    number = _number(name, value, infinite=True)
    if number <= 0:
        raise InvalidOptionError(f"{name} is {number}; it must be positive, also when integrating backwards.")
    return number


def _times(name: str, values: Any, tspan: tuple[float, float]) -> tuple[float, ...]:
    if isinstance(values, Tensor):
        values = values.detach().tolist()
    elif isinstance(values, np.ndarray):
        values = values.tolist()  # to numbers of Python at once
    try:
        times = [float(t.detach() if isinstance(t, Tensor) else t) for t in values]
    except (TypeError, ValueError):
        raise InvalidOptionError(f"{name} must be a number, times, or None, not {values!r}.") from None
    if not times:
        raise InvalidOptionError(f"{name} is empty; leave it out (None) for every step.")
    t0, t1 = tspan
    # Times computed in float32, or as t0 + i * dt, may miss the ends by rounding.
    slack = 1e-7 * max(abs(t0), abs(t1))
    low, high = min(t0, t1), max(t0, t1)
    for t in times:
        if not low - slack <= t <= high + slack:
            raise InvalidOptionError(f"{name} holds {t}, which is outside the time span {tspan}.")
    direction = 1.0 if t1 > t0 else -1.0
    for earlier, later in pairwise(times):
        if direction * (later - earlier) <= 0:
            order = "increase" if direction > 0 else "decrease"
            raise InvalidOptionError(
                f"{name} must strictly {order} along the time span {tspan}, but {earlier} is followed by {later}. "
                "Sort it, and drop repeated times."
            )
    return tuple(low if t < low else high if t > high else t for t in times)


def _number(name: str, value: Any, *, infinite: bool = False) -> float:
    try:
        number = float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidOptionError(f"{name} must be a number, not {value!r}.") from None
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise InvalidOptionError(f"{name} is {number}; it must be finite.")
    return number
