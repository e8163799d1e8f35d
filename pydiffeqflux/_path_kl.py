"""The relative entropy of two stochastic equations, for latent SDEs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._errors import InvalidProblemError

Function = Callable[[Tensor, Any, Tensor], Tensor]


def with_path_kl(posterior: Function, prior: Function, g: Function) -> tuple[Function, Function]:
    r"""Drift and diffusion of an equation that carries the relative entropy of its paths along with its state.

    For two equations of the same diagonal diffusion g and drifts f (the posterior) and h (the prior), the relative
    entropy of the first's paths to the second's is the mean of \( \int \tfrac12 |(f - h)/g|^2 dt \) (Girsanov). What
    is returned is for a state with one more column, the last one, in which that integral runs; it has no noise. Start
    it at zero, and add the mean of its final value to the loss: torchsde's `logqp`.

    Arguments:
        posterior: the drift f that the equation has.
        prior: the drift h that it is compared with.
        g: the diffusion of both, of the shape of the state (diagonal noise), nowhere zero.

    Returns:
        Two functions of `(u, p, t)` with `u` of shape `(*batch, d + 1)`, for an [`SDEProblem`][]; the three functions
        given are called with its first d columns. Parameters of modules among them get their gradients.

    Raises:
        InvalidProblemError: an argument cannot be called.

    Engines: both. References: Li, Wong, Chen, Duvenaud 2020, *Scalable gradients for stochastic differential
    equations*, section 5.

    >>> from pydiffeqflux import EM, SDEProblem, solve
    >>> f, g = with_path_kl(lambda u, p, t: -u, lambda u, p, t: -u + 0.3, lambda u, p, t: 0.5 + 0.0 * u)
    >>> prob = SDEProblem(f, g, torch.zeros(64, 1 + 1, dtype=torch.float64), (0.0, 2.0), seed=1)
    >>> sol = solve(prob, EM(), dt=0.1, saveat=[2.0])
    >>> round(sol.u[-1, :, -1].mean().item(), 6)  # 2 (0.3 / 0.5)² / 2
    0.36
    """
    for name, function in (("posterior", posterior), ("prior", prior), ("g", g)):
        if not callable(function):
            raise InvalidProblemError(f"{name} must be a function of (u, p, t), not {type(function).__name__}.")

    def drift(u: Tensor, p: Any, t: Tensor) -> Tensor:
        state = u[..., :-1]
        f = posterior(state, p, t)
        ratio = (f - prior(state, p, t)) / g(state, p, t)
        return torch.cat([f, 0.5 * (ratio**2).sum(dim=-1, keepdim=True)], dim=-1)

    def diffusion(u: Tensor, p: Any, t: Tensor) -> Tensor:
        return torch.cat([g(u[..., :-1], p, t), torch.zeros_like(u[..., -1:])], dim=-1)

    return drift, diffusion
