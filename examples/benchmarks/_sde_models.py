"""The stochastic problems of W7, in torch and for every library that has a torch drift."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

ALPHA, BETA = 0.1, 0.05
"""Of DiffEqProblemLibrary's `prob_sde_additive`, du = (β/√(1+t) - u/(2(1+t))) dt + αβ/√(1+t) dW."""

DRIFT, VOLATILITY = 1.01, 0.87
"""Of geometric Brownian motion."""


def additive_drift(u: Tensor, t: Tensor) -> Tensor:
    """The drift of the additive equation."""
    return BETA / torch.sqrt(1.0 + t) - u / (2.0 * (1.0 + t))


def additive_diffusion(u: Tensor, t: Tensor) -> Tensor:
    """Its diffusion."""
    return (ALPHA * BETA / torch.sqrt(1.0 + t)).expand_as(u)


def additive_exact(u0: Tensor, w: Tensor) -> Tensor:
    """Its solution at t = 1 where the motion is `w`."""
    return (u0 + BETA * (1.0 + ALPHA * w)) / math.sqrt(2.0)


STATE, CONTEXT, HIDDEN, SAVES = 4, 16, 32, 20
SPAN, STEPS = 2.0, 200
TIMES = torch.linspace(0.0, SPAN, SAVES + 1)[1:]


class LatentSDE(nn.Module):
    """Two drifts 20-32-32-4 (with a context that changes from save to save) and 4-32-32-4, four diffusions 1-32-1."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.posterior = _mlp(STATE + CONTEXT, HIDDEN, HIDDEN, STATE)
        self.prior = _mlp(STATE, HIDDEN, HIDDEN, STATE)
        self.diffusions = nn.ModuleList(nn.Sequential(_mlp(1, HIDDEN, 1), nn.Sigmoid()) for _ in range(STATE))
        self.context = nn.Parameter(torch.randn(SAVES, batch, CONTEXT))
        self.start = nn.Parameter(torch.randn(batch, STATE))

    def f(self, u: Tensor, t: Tensor) -> Tensor:
        """The drift of the posterior."""
        i = (t * (SAVES / SPAN) + 1e-3).floor().long().clamp(0, SAVES - 1)
        return self.posterior(torch.cat([u, self.context.index_select(0, i.view(1)).squeeze(0)], dim=-1))

    def h(self, u: Tensor, t: Tensor) -> Tensor:
        """That of the prior."""
        return self.prior(u)

    def g(self, u: Tensor, t: Tensor) -> Tensor:
        """The diffusion of both."""
        return torch.cat([net(u[..., i : i + 1]) for i, net in enumerate(self.diffusions)], dim=-1) + 1e-3

    def loss(self, states: Tensor, entropy: Tensor) -> Tensor:
        """Of the states at `TIMES` and the relative entropy of each element of the batch."""
        return states.square().mean() + entropy.mean()


def latent_sde(batch: int) -> LatentSDE:
    """The same one in every library."""
    torch.manual_seed(0)
    return LatentSDE(batch)


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        layers += [nn.Linear(i, o), nn.Softplus()]
    return nn.Sequential(*layers[:-1])
