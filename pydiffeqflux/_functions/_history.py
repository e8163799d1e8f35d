"""What a delay equation is given of its past."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._errors import InvalidProblemError, RightHandSideError
from ._nesting import outside_inference_mode

Interpolation = Literal["linear", "cubic"]
"""The rules by which samples are joined."""


@runtime_checkable
class PastSolution(Protocol):
    """A solution that can be the past of another problem."""

    prob: Any
    retcode: Any

    def __call__(self, t: Any, derivative: int = 0) -> Any:
        """The state at `t`, or a time derivative of it."""
        ...


class AbstractHistory(ABC):
    """The states before the start of a problem.

    Attributes:
        tensors: what it is made of and can be differentiated with respect to, a nesting.
    """

    tensors: Any = None

    @abstractmethod
    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Any:
        """The state at a time, or a time derivative of it.

        Arguments:
            tensors: what stands for `self.tensors`.
            p: the parameters.
            s: the time, 0-d and of float64.
            derivative: how often it is differentiated.
        """


class ConstantHistory(AbstractHistory):
    """The same state at all times."""

    def __init__(self, value: Tensor) -> None:
        self.tensors = value

    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Any:
        return torch.zeros_like(tensors) if derivative else tensors


class FunctionHistory(AbstractHistory):
    """A function `h(p, s)` of the user's.

    Arguments:
        function: what the user gave.
        dtype: that of the times that it gets.
        device: where they are.
    """

    def __init__(self, function: Callable[[Any, Tensor], Any], dtype: torch.dtype, device: torch.device) -> None:
        self.function = function
        self._dtype, self._device = dtype, device

    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Any:
        time = s.to(self._device, self._dtype)

        def at(time: Tensor) -> Any:
            return self.function(p, time)

        call = at
        for _ in range(derivative):
            call = _differentiated(call)
        return call(time)


def _differentiated(call: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative of a function of the time."""

    def derivative(time: Tensor) -> Tensor:
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            x = time if time.requires_grad else time.detach().requires_grad_()
            value = call(x)
            # the derivative of vᵀ ∂value/∂x with respect to v
            v = torch.zeros_like(value, requires_grad=True)
            pulled: Any = (None,)
            if value.requires_grad:
                pulled = torch.autograd.grad(value, x, v, create_graph=True, allow_unused=True)
            if pulled[0] is None:
                return torch.zeros_like(value)
            (result,) = torch.autograd.grad(pulled[0], v, create_graph=True)
        return result if wanted else result.detach()

    return derivative


class SolutionHistory(AbstractHistory):
    """What another solve has found."""

    def __init__(self, solution: PastSolution) -> None:
        self.solution = solution

    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Any:
        value = self.solution(s, derivative)
        return value if isinstance(value, Tensor) else torch.as_tensor(value)


class SampledHistory(AbstractHistory):
    r"""The past of a delay equation by samples.

    Arguments:
        t: times, strictly increasing, shape `(T,)`, T at least 2.
        u: states at these times, shape `(T, *u0.shape)`. A tensor that requires a gradient gets one.
        interpolation: `"linear"` for straight lines between samples; `"cubic"` for cubic Hermite pieces, whose slopes
            are those of the parabola through a sample and its neighbours.

    Raises:
        InvalidProblemError: the shapes do not fit, times do not increase, or values are not finite.

    Engines: embedded.

    >>> past = SampledHistory([-2.0, -1.0, 0.0], torch.tensor([[4.0], [1.0], [0.0]]), "cubic")
    >>> past(-1.5).item()  # of u = t²
    2.25
    """

    def __init__(
        self,
        t: Sequence[float] | NDArray[Any] | Tensor,
        u: Sequence[Any] | NDArray[Any] | Tensor,
        interpolation: Interpolation = "linear",
    ) -> None:
        values = u if isinstance(u, Tensor) else torch.as_tensor(np.asarray(u, dtype=float))
        times = np.asarray(t.detach().cpu() if isinstance(t, Tensor) else t, dtype=np.float64)
        if interpolation not in get_args(Interpolation):
            raise InvalidProblemError(f"interpolation must be 'linear' or 'cubic', not {interpolation!r}.")
        if times.ndim != 1 or len(times) < 2 or values.ndim == 0 or len(values) != len(times):
            raise InvalidProblemError(
                f"a SampledHistory needs at least two times (T,) and states (T, *u0.shape); it got {times.shape} and "
                f"{tuple(values.shape)}."
            )
        if not np.isfinite(times).all() or any(b <= a for a, b in pairwise(times)):
            raise InvalidProblemError("the times of a SampledHistory must be finite and strictly increase; sort them.")
        if not bool(torch.isfinite(values.detach()).all()):
            raise InvalidProblemError("the states of a SampledHistory have values that are NaN or infinite.")
        self.t = times
        self.interpolation: Interpolation = interpolation
        self.tensors = outside_inference_mode(values)

    def __call__(self, t: float, derivative: int = 0) -> Tensor:
        """The state at a time, or a time derivative of it.

        Raises:
            RightHandSideError: the time lies outside of the samples.
        """
        return self.state(self.tensors, None, torch.tensor(t, dtype=torch.float64), derivative)

    def state(self, tensors: Any, p: Any, s: Tensor, derivative: int) -> Tensor:
        u: Tensor = tensors
        time, first, last = float(s.detach()), self.t[0], self.t[-1]
        slack = 1e-7 * max(abs(first), abs(last))  # times of float32 may lie outside by rounding
        if not first - slack <= time <= last + slack:
            raise RightHandSideError(
                f"the history was asked for the state at t = {time:g}, but its samples reach from {first:g} to "
                f"{last:g} only; give it samples as far back as the largest delay."
            )
        i = int(np.clip(np.searchsorted(self.t, time, side="right") - 1, 0, len(self.t) - 2))
        width = float(self.t[i + 1] - self.t[i])
        theta = ((s - float(self.t[i])) / width).to(u.real.dtype)
        rise = u[i + 1] - u[i]
        if self.interpolation == "linear":
            coefficients = [u[i], rise]
        else:
            a, b = self._slope(u, i) * width, self._slope(u, i + 1) * width
            coefficients = [u[i], a, 3.0 * rise - 2.0 * a - b, a + b - 2.0 * rise]
        for _ in range(derivative):
            coefficients = [m * c / width for m, c in enumerate(coefficients)][1:] or [torch.zeros_like(rise)]
        value = coefficients[-1]
        for c in reversed(coefficients[:-1]):
            value = c + theta * value
        return value

    def _slope(self, u: Tensor, i: int) -> Tensor:
        """That of the parabola through sample i and its neighbours, the two nearest ones at the ends."""
        t = self.t
        if len(t) == 2:
            return (u[1] - u[0]) / float(t[1] - t[0])
        middle = min(max(i, 1), len(t) - 2)
        before, after = float(t[middle] - t[middle - 1]), float(t[middle + 1] - t[middle])
        left, right = (u[middle] - u[middle - 1]) / before, (u[middle + 1] - u[middle]) / after
        if i == middle:
            return (after * left + before * right) / (before + after)
        end = 2.0 * (right - left) / (before + after)  # the second derivative
        return left - end * before / 2.0 if i < middle else right + end * after / 2.0


def as_history(h: Any, u0: Tensor) -> AbstractHistory:
    """The history of a problem that starts at `u0`.

    Raises:
        InvalidProblemError: it cannot be one.
    """
    real = u0.real.dtype if u0.is_complex() else u0.dtype
    if isinstance(h, SampledHistory):
        _check_shape(h.tensors.shape[1:], u0, "the states of the history have")
        if h.tensors.dtype != u0.dtype or h.tensors.device != u0.device:
            h = SampledHistory(h.t, h.tensors.to(u0.device, u0.dtype), h.interpolation)
        return h
    if isinstance(h, PastSolution):
        if h.prob is None:
            raise InvalidProblemError("the solution that is the history was detached or loaded; use samples of it.")
        _check_shape(h.prob.u0.shape, u0, "the solution that is the history has")
        return SolutionHistory(h)
    if callable(h):
        return FunctionHistory(h, real, u0.device)
    try:
        value = h if isinstance(h, Tensor) else torch.as_tensor(np.asarray(h), dtype=u0.dtype)
    except (TypeError, ValueError):
        raise InvalidProblemError(
            f"h must be a function h(p, t), a constant state, a SampledHistory or a Solution, not {type(h).__name__}."
        ) from None
    value = outside_inference_mode(value).to(u0.device, u0.dtype)
    if value.ndim == 0:
        value = value.expand(u0.shape)
    _check_shape(value.shape, u0, "h has")
    if not bool(torch.isfinite(value.detach()).all()):
        raise InvalidProblemError("h has values that are NaN or infinite; give a finite history.")
    return ConstantHistory(value)


def _check_shape(shape: torch.Size, u0: Tensor, what: str) -> None:
    if shape != u0.shape:
        raise InvalidProblemError(f"{what} shape {tuple(shape)}; it must be that of u0, {tuple(u0.shape)}.")
