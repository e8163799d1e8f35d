"""The first step size."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ._norm import ErrorNorm
from ._protocols import Rhs


def initial_step(
    rhs: Rhs,
    u: Tensor,
    t: float,
    k1: Tensor,
    direction: float,
    span: float,
    order: float,
    norm: ErrorNorm,
    noise: Callable[[Tensor, float], Tensor] | None = None,
) -> float:
    """A signed first step size from two evaluations of the derivative.

    Source: Hairer, Nørsett, Wanner, *Solving ODEs I*, II.4; a first guess from the size of the derivative, corrected by
    an estimate of the second derivative. For a problem with a mass matrix Hairer's cautious default is taken. Where
    there is `noise`, the coefficient of a motion, derivatives count as large as the two are likely to be together, as
    in StochasticDiffEq.jl's `sde_determine_initdt`.
    """
    if rhs.mass is not None:
        return direction * min(1e-6, span)
    d0 = norm(u, u, u)
    g1 = None if noise is None else noise(u, t)
    d1 = norm(k1 if g1 is None else k1.abs() + 3.0 * _size(g1, u), u, u)
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    h0 = min(h0, span)
    moved, later = torch.add(u, k1, alpha=direction * h0), t + direction * h0
    change = rhs(moved, later) - k1
    if noise is not None and g1 is not None:
        change = change.abs() + _size(noise(moved, later) - g1, u)
    d2 = norm(change, u, u) / h0
    if not math.isfinite(d2):
        return direction * h0
    largest = max(d1, d2)
    h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else 10.0 ** (-(2.0 + math.log10(largest)) / (order + 1))
    return direction * min(100.0 * h0, h1, span)


def _size(g: Tensor, u: Tensor) -> Tensor:
    """The size of a coefficient of noise for every element of the state, over all motions."""
    return g.abs() if g.ndim == u.ndim else g.abs().sum(-1)
