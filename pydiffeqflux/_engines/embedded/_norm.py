"""The error norm of the step size control."""

import math

import torch
from torch import Tensor


class ErrorNorm:
    """The root mean square of errors measured in tolerances: `err / (abstol + reltol max(|u0|, |u1|))`.

    Source: OrdinaryDiffEq.jl's `ODE_DEFAULT_NORM` and `calculate_residuals`.

    Attributes:
        abstol, reltol: the tolerances.
        steers: whether step sizes follow the errors. With fixed steps tolerances say nothing about how accurate a
            solution is to be, and iterations go as far as rounding lets them.
    """

    def __init__(self, abstol: float | Tensor, reltol: float | Tensor, *, steers: bool = True) -> None:
        self.abstol = abstol
        self.reltol = reltol
        self.steers = steers

    def weights(self, u0: Tensor, u1: Tensor) -> Tensor:
        """The error that one tolerance allows in every component."""
        scale = u0.abs() if u1 is u0 else torch.maximum(u0.abs(), u1.abs())
        scale = scale.mul_(self.reltol).add_(self.abstol)
        if isinstance(self.abstol, Tensor) or self.abstol <= 0.0:
            scale.clamp_min_(torch.finfo(scale.dtype).tiny)
        return scale

    def __call__(self, error: Tensor, u0: Tensor, u1: Tensor) -> float:
        """The norm; 1 is the largest acceptable error."""
        return scaled_norm(error, self.weights(u0, u1))


def scaled_norm(error: Tensor, weights: Tensor) -> float:
    """The root mean square of `error / weights`."""
    scaled = error / weights
    return float(torch.linalg.vector_norm(scaled)) / math.sqrt(scaled.numel())
