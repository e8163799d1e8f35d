r"""Tables as functions of the time, for use in right-hand sides.

A piecewise polynomial is written as a sum over its pieces,

\[ u(t) = u_0 + \sum_k P_k(\mathrm{clamp}(t - t_k, 0, Δ_k)), \quad P_k(0) = 0: \]

the pieces before t add all that they rise, the one of t what it has risen so far. So there is no search and no branch,
and the function can be traced, compiled to Julia, mapped and differentiated.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._errors import InvalidOptionError


class _Interpolation(ABC):
    """A table as a function of the time, constant before its first and after its last entry.

    Attributes:
        u: the values `(T, *shape)`.
        t: the times `(T,)`.
    """

    def __init__(self, u: Tensor | NDArray[Any] | Sequence[Any], t: Tensor | NDArray[Any] | Sequence[float]) -> None:
        self.u = u if isinstance(u, Tensor) else torch.as_tensor(np.asarray(u, dtype=float))
        self.t = (t if isinstance(t, Tensor) else torch.as_tensor(np.asarray(t, dtype=float))).to(self.u)
        if self.t.ndim != 1 or len(self.t) < 2 or self.u.ndim == 0 or len(self.u) != len(self.t):
            raise InvalidOptionError(
                f"a table needs values (T, *shape) and at least two times (T,), {type(self).__name__}(u, t); it got "
                f"values of shape {tuple(self.u.shape)} and times of shape {tuple(self.t.shape)}."
            )
        widths = self.t.diff()
        if not bool((widths > 0.0).all()):
            raise InvalidOptionError("the times of a table must strictly increase; sort them, and drop repeated ones.")
        self._starts, self._widths = self.t[:-1], widths
        self._powers = self._coefficients(self.u.reshape(len(self.t), -1), widths)

    @abstractmethod
    def _coefficients(self, u: Tensor, widths: Tensor) -> tuple[Tensor, ...]:
        """For the powers of the time since the start of each piece, the coefficients `(T - 1, n)`."""

    def __call__(self, t: Tensor | float) -> Tensor:
        """The value at a time, a number or a 0-d tensor, of shape `shape`."""
        time = t.to(self.u) if isinstance(t, Tensor) else torch.full((), t, dtype=self.u.dtype, device=self.u.device)
        since = torch.minimum((time - self._starts).clamp(min=0.0), self._widths)
        rise, power = torch.zeros_like(self._powers[0][0]), torch.ones_like(since)
        for coefficients in self._powers:
            power = power * since
            rise = rise + power @ coefficients
        return self.u[0] + rise.reshape(self.u.shape[1:])


class LinearInterpolation(_Interpolation):
    """Straight lines through the entries of a table.

    Arguments:
        u: the values, `(T, *shape)`, real; a tensor has a gradient.
        t: the times, strictly increasing, `(T,)`; likewise. Before the first and after the last one the function is
            constant.

    Its derivative jumps at the times, which may be named as `tstops`. One evaluation takes T times the size of a value.

    Raises:
        InvalidOptionError: the shapes do not fit, or times do not increase.

    Engines: both. Source: DataInterpolations.jl's `LinearInterpolation`.

    >>> rain = LinearInterpolation([0.0, 4.0, 1.0], [0.0, 2.0, 3.0])
    >>> [rain(t).item() for t in (1.0, 2.5, 9.0)]
    [2.0, 2.5, 1.0]
    """

    def _coefficients(self, u: Tensor, widths: Tensor) -> tuple[Tensor, ...]:
        return (u.diff(dim=0) / widths[:, None],)


class CubicSpline(_Interpolation):
    """The natural cubic spline through the entries of a table: twice differentiable, straight at both ends.

    Arguments:
        u: the values, `(T, *shape)`, real; a tensor has a gradient.
        t: the times, strictly increasing, `(T,)`; likewise. Before the first and after the last one the function is
            constant.

    Raises:
        InvalidOptionError: the shapes do not fit, or times do not increase.

    Engines: both. Source: DataInterpolations.jl's `CubicSpline`.

    >>> spline = CubicSpline([0.0, 1.0, 0.0], [0.0, 1.0, 2.0])
    >>> spline(0.5).item()
    0.6875
    """

    def _coefficients(self, u: Tensor, widths: Tensor) -> tuple[Tensor, ...]:
        h, slopes = widths, u.diff(dim=0) / widths[:, None]
        bends = u.new_zeros(len(u), u.shape[1])  # second derivatives
        if len(u) > 2:
            matrix = torch.diag(2.0 * (h[:-1] + h[1:])) + torch.diag(h[1:-1], 1) + torch.diag(h[1:-1], -1)
            inner = torch.linalg.solve(matrix, 6.0 * slopes.diff(dim=0))
            bends = torch.cat([bends[:1], inner, bends[:1]])
        first = slopes - h[:, None] * (2.0 * bends[:-1] + bends[1:]) / 6.0
        return first, bends[:-1] / 2.0, bends.diff(dim=0) / (6.0 * h[:, None])
