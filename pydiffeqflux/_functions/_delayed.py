"""The right-hand side of a delay equation: what `h` is to `f(u, h, p, t)`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import torch
from torch import Tensor

from .._errors import RightHandSideError
from ._history import AbstractHistory
from ._state import StateSpace

ROUNDING = 32
"""Times that are so many units of rounding apart count as one."""


class Past(Protocol):
    """What an engine has solved so far."""

    def state(self, s: Tensor, derivative: int, now: float) -> Tensor:
        """A real state at a time after the start, as it is known in the evaluation of `f` at the time `now`."""
        ...

    def is_after(self, t: float, now: float) -> bool:
        """Whether an evaluation at `now`, which looks back at a discontinuity at `t`, lies on its later side."""
        ...


class Unsolved:
    """The past where nothing is solved: the initial state, as long as it may be.

    Arguments:
        u0: the initial state, real.
    """

    def __init__(self, u0: Tensor) -> None:
        self._u0 = u0

    def state(self, s: Tensor, derivative: int, now: float) -> Tensor:
        return torch.zeros_like(self._u0) if derivative else self._u0

    def is_after(self, t: float, now: float) -> bool:
        return True


@dataclass(frozen=True, eq=False)
class Lags:
    """What is known of the delays of an equation.

    Attributes:
        constant: the sizes of the constant ones, `None` where they are to be found.
        dependent: functions `lag(u, p, t)` of the others.
        neutral: whether `f` reads derivatives.
    """

    constant: tuple[float, ...] | None
    dependent: tuple[Callable[[Any, Any, Any], Any], ...]
    neutral: bool


class Delayed:
    """`f(u, h, p, t)` of a delay equation as a function of `u`, `(p, what the history is made of)` and `t`.

    Arguments:
        f: the user's function.
        history: the states before the start.
        lags: what the user has said of the delays.
        u0: the initial state, as the user gave it.
        tspan: start and end time.

    Attributes:
        past: what is solved so far; the engine puts it here for the length of a solve.
        calls: for each evaluation since this was emptied, the times that it asked for, each connected to what it was
            computed from.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        history: AbstractHistory,
        lags: Lags,
        u0: Tensor,
        tspan: tuple[float, float],
    ) -> None:
        self.f, self.history, self.lags = f, history, lags
        self.space = StateSpace.of(u0)
        self.t0 = tspan[0]
        self.direction = math.copysign(1.0, tspan[1] - tspan[0])
        self.past: Past = Unsolved(self.space.to_real(u0.detach()))
        self.calls: list[list[Tensor]] = []
        self._eps = torch.finfo(self.space.dtype).eps

    def forget(self, u0: Tensor) -> None:
        """Hold on to no solution any more."""
        self.past = Unsolved(u0.detach())
        self.calls.clear()

    def __call__(self, u: Any, parameters: tuple[Any, Any], t: Any) -> Any:
        p, tensors = parameters
        self.calls.append([])
        return self.f(u, _HistoryFunction(self, tensors, t), p, t)

    def resolution(self, t: float) -> float:
        """Times around `t` that are no further apart count as one."""
        return ROUNDING * self._eps * max(abs(t), abs(self.t0), 1e-30)

    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int, now: float) -> Tensor:
        """The state at `s`, in the user's form."""
        time = float(s.detach())
        since = self.direction * (time - self.t0)
        slack = self.resolution(now)
        if self.direction * (time - now) > slack:
            raise RightHandSideError(
                f"f at t = {now:g} asked for the state at t = {time:g}, which is in the future; a delay must not be "
                "negative."
            )
        if since < -slack or (since <= slack and not self.past.is_after(self.t0, now)):
            return self._before(tensors, p, s, derivative)
        return self.space.to_user(self.past.state(s, derivative, now))

    def _before(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Tensor:
        value = self.history.state(tensors, p, s, derivative)
        space = self.space
        if not isinstance(value, Tensor):
            raise RightHandSideError(f"the history returned {type(value).__name__}; it must return a torch tensor.")
        if value.shape != space.user_shape or value.dtype != space.user_dtype or value.device != space.device:
            raise RightHandSideError(
                f"the history returned a tensor of shape {tuple(value.shape)}, {value.dtype} on {value.device}; it "
                f"must be a state like u0, {tuple(space.user_shape)}, {space.user_dtype} on {space.device}."
            )
        return value


class _HistoryFunction:
    """The `h` that `f` is given: `h(p, s)` is the state at `s`, `h(p, s, derivative=1)` its time derivative."""

    def __init__(self, delayed: Delayed, tensors: Any, t: Any) -> None:
        self._delayed, self._tensors, self._t = delayed, tensors, t

    def __call__(self, p: Any, s: Any, *, derivative: int = 0) -> Tensor:
        if isinstance(s, Tensor) and s.numel() == 1 and not s.is_complex():
            time = s.reshape(()).to("cpu", torch.float64)
        elif isinstance(s, Real) and not isinstance(s, bool):
            time = torch.tensor(float(s), dtype=torch.float64)
        else:
            what = f"a tensor of shape {tuple(s.shape)}" if isinstance(s, Tensor) else type(s).__name__
            raise RightHandSideError(f"h(p, s) takes one time s, a number or a 0-d tensor, not {what}.")
        if derivative < 0:
            raise RightHandSideError(f"derivative is {derivative}; it counts derivatives and cannot be negative.")
        if not math.isfinite(float(time.detach())):
            raise RightHandSideError("h(p, s) was asked for a time s that is NaN or infinite.")
        self._delayed.calls[-1].append(time)
        now = self._t.detach() if isinstance(self._t, Tensor) else self._t
        return self._delayed.state(self._tensors, p, time, derivative, float(now))
