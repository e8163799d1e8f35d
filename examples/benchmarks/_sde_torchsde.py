"""W7 in torchsde."""

import importlib
from typing import Any

import torch
from _rows import Outcome, Run
from _sde_models import (
    DRIFT,
    SPAN,
    STEPS,
    TIMES,
    VOLATILITY,
    LatentSDE,
    additive_diffusion,
    additive_drift,
    additive_exact,
    latent_sde,
)
from torch import Tensor, nn

torchsde: Any = importlib.import_module("torchsde")


class Additive(nn.Module):
    """The additive equation; methods that make use of that are told so."""

    sde_type = "ito"

    def __init__(self, noise_type: str) -> None:
        super().__init__()
        self.noise_type = noise_type

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """The drift."""
        return additive_drift(y, t)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        """The diffusion: a matrix, where the noise is called additive."""
        g = additive_diffusion(y, t)
        return g.unsqueeze(-1) if self.noise_type == "additive" else g


def additive(solver: str, paths: int, dt: float) -> Run:
    """Fixed steps to t = 1; the outcome is one plus the mean error on the paths."""
    sde = Additive("additive" if solver == "srk" else "diagonal")
    u0 = torch.ones(paths, 1, dtype=torch.float64)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def call() -> tuple[Tensor, Any]:
        motion = torchsde.BrownianInterval(
            0.0, 1.0, (paths, 1), dtype=torch.float64, entropy=1, levy_area_approximation="space-time"
        )
        with torch.no_grad():
            return torchsde.sdeint(sde, u0, times, bm=motion, method=solver, dt=dt)[-1], motion

    def read(result: tuple[Tensor, Any]) -> Outcome:
        u, motion = result
        error = (u - additive_exact(u0, motion(0.0, 1.0))).abs().mean()
        return Outcome(us=1.0 + error.reshape(1).numpy(), accepted=round(1.0 / dt))

    return Run(call, read)


class Geometric(nn.Module):
    """Geometric Brownian motion."""

    sde_type, noise_type = "ito", "diagonal"

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """The drift."""
        return DRIFT * y

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        """The diffusion."""
        return VOLATILITY * y


def geometric(solver: str, size: int, steps: int) -> Run:
    """One path of geometric Brownian motion of `size` elements, every step saved."""
    u0 = torch.full((1, size), 0.5, dtype=torch.float64)
    times = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)

    def call() -> Tensor:
        with torch.no_grad():
            return torchsde.sdeint(Geometric(), u0, times, method=solver, dt=1.0 / steps)

    return Run(call, lambda _: Outcome(accepted=steps))


class Latent(nn.Module):
    """The latent SDE, with torchsde's own relative entropy."""

    sde_type, noise_type = "ito", "diagonal"

    def __init__(self, model: LatentSDE) -> None:
        super().__init__()
        self.model = model

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """The drift of the posterior."""
        return self.model.f(y, torch.as_tensor(t))

    def h(self, t: Tensor, y: Tensor) -> Tensor:
        """That of the prior."""
        return self.model.h(y, torch.as_tensor(t))

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        """The diffusion."""
        return self.model.g(y, torch.as_tensor(t))


def latent(batch: int) -> Run:
    """Value and gradient of the latent SDE."""
    model = latent_sde(batch)
    sde = Latent(model)
    times = torch.cat([torch.zeros(1), TIMES])

    def call() -> None:
        model.zero_grad()
        states, entropy = torchsde.sdeint(sde, model.start, times, method="euler", dt=SPAN / STEPS, logqp=True)
        model.loss(states[1:], entropy.sum(dim=0)).backward()

    return Run(call, lambda _: Outcome(accepted=STEPS))
