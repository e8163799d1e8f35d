"""The first step size."""

import math

import torch
from torch import Tensor

from ._norm import ErrorNorm
from ._protocols import Rhs


def initial_step(
    rhs: Rhs, u: Tensor, t: float, k1: Tensor, direction: float, span: float, order: int, norm: ErrorNorm
) -> float:
    """A signed first step size from two evaluations of the derivative.

    Source: Hairer, Nørsett, Wanner, *Solving ODEs I*, II.4; a first guess from the size of the derivative, corrected by
    an estimate of the second derivative. For a problem with a mass matrix Hairer's cautious default is taken.
    """
    if rhs.mass is not None:
        return direction * min(1e-6, span)
    d0 = norm(u, u, u)
    d1 = norm(k1, u, u)
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    h0 = min(h0, span)
    k2 = rhs(torch.add(u, k1, alpha=direction * h0), t + direction * h0)
    d2 = norm(k2 - k1, u, u) / h0
    if not math.isfinite(d2):
        return direction * h0
    largest = max(d1, d2)
    h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else 10.0 ** (-(2.0 + math.log10(largest)) / (order + 1))
    return direction * min(100.0 * h0, h1, span)
