"""∂f/∂t by differences, for where autograd does not see how `f` depends on time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Time = float | Tensor


def time_slope(f: Callable[[Tensor, Time], Tensor], u: Tensor, t: Time, ahead: Time, k: Tensor) -> Tensor:
    """`(f(u, t + δ) - k) / δ` with `k = f(u, t)` and δ on the way from `t` to `t + ahead`."""
    return _quotient(f, u, t, _distance(t, ahead, k), k)


def _distance(t: Time, ahead: Time, k: Tensor) -> Time:
    scale = torch.finfo(k.dtype).eps ** 0.5  # balances truncation against cancellation
    if isinstance(t, Tensor) or isinstance(ahead, Tensor):
        t, ahead = torch.as_tensor(t), torch.as_tensor(ahead)
        size = torch.minimum(ahead.abs(), scale * torch.maximum(t.abs(), 10.0 * ahead.abs()))
        return size.copysign(ahead)
    return math.copysign(min(abs(ahead), scale * max(abs(t), 10.0 * abs(ahead))), ahead)


def _quotient(f: Callable[[Tensor, Time], Tensor], u: Tensor, t: Time, delta: Time, k: Tensor) -> Tensor:
    later = t + delta
    return (f(u, later) - k) / (later - t)


class HiddenTime:
    """Watches whether `f` depends on time in a way that autograd does not see, as through `t.item()` or NumPy.

    A method that uses ∂f/∂t would then take very small steps. Comparing with a difference costs an evaluation of `f`;
    it is done at the first Jacobian, the second, the fourth, the eighth and so on, so that at worst half of all steps
    are made before it is noticed.
    """

    def __init__(self) -> None:
        self._seen, self._next = 0, 1

    def found(
        self, f: Callable[[Tensor, Time], Tensor], u: Tensor, t: float, ahead: float, k: Tensor, slope: Tensor | None
    ) -> bool:
        """Whether `slope` is not `∂f/∂t` at `(u, t)`, where it is time to look."""
        self._seen += 1
        if self._seen < self._next:
            return False
        self._next *= 2
        with torch.no_grad():
            u, k = u.detach(), k.detach()
            delta = _distance(t, ahead, k)
            assert isinstance(delta, float)

            def errors(delta: float) -> tuple[float, float]:
                """How far the difference is from the slope, and its size."""
                difference = _quotient(f, u, t, delta, k)
                error = difference if slope is None else difference - slope.detach()
                return float(torch.linalg.vector_norm(error)), float(torch.linalg.vector_norm(difference))

            error, size = errors(delta)
            noise = 100.0 * torch.finfo(k.dtype).eps * float(torch.linalg.vector_norm(k)) / abs(delta)
            if not noise + 0.1 * size < error < math.inf:
                return False
            # The error of a difference halves with its distance, and an f that is random has no slope.
            return errors(0.5 * delta)[0] > 0.75 * error and torch.equal(f(u, t), k)
