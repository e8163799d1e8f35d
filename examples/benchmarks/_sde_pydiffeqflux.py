"""W7 on both engines of this package."""

from typing import Any

import torch
from _rows import CALLED_BACK, Outcome, Run
from _sde_models import (
    DRIFT,
    SPAN,
    STEPS,
    TIMES,
    VOLATILITY,
    additive_diffusion,
    additive_drift,
    additive_exact,
    latent_sde,
)

import pydiffeqflux as de


def _options(engine: str, rhs: str) -> dict[str, Any]:
    return {"engine": engine, "compile": False if rhs == CALLED_BACK else None}


def additive(engine: str, solver: str, paths: int, dt: float, *, rhs: str) -> Run:
    """Fixed steps to t = 1; the outcome is one plus the mean error on the paths."""
    u0 = torch.ones(paths, dtype=torch.float64)
    prob = de.SDEProblem(
        lambda u, p, t: additive_drift(u, t), lambda u, p, t: additive_diffusion(u, t), u0, (0.0, 1.0), seed=1
    )
    alg = getattr(de, solver)()

    def call() -> de.Solution:
        with torch.no_grad():
            return de.solve(prob, alg, dt=dt, adaptive=False, saveat=[1.0], **_options(engine, rhs))

    def read(sol: de.Solution) -> Outcome:
        assert sol.noise is not None
        error = (torch.as_tensor(sol.u[-1]) - additive_exact(u0, sol.noise(1.0))).abs().mean()
        return Outcome(us=1.0 + error.reshape(1).numpy(), nfe=sol.stats.nf, accepted=sol.stats.naccept)

    return Run(call, read)


def geometric(engine: str, solver: str, size: int, steps: int, *, rhs: str) -> Run:
    """One path of geometric Brownian motion of `size` elements, every step saved."""
    prob = de.SDEProblem(
        lambda u, p, t: DRIFT * u,
        lambda u, p, t: VOLATILITY * u,
        torch.full((size,), 0.5, dtype=torch.float64),
        (0.0, 1.0),
        seed=1,
    )
    alg = getattr(de, solver)()

    def call() -> de.Solution:
        with torch.no_grad():
            return de.solve(prob, alg, dt=1.0 / steps, adaptive=False, **_options(engine, rhs))

    return Run(call, lambda sol: Outcome(nfe=sol.stats.nf, accepted=sol.stats.naccept))


def latent(engine: str, batch: int, *, rhs: str) -> Run:
    """Value and gradient of the latent SDE."""
    model = latent_sde(batch)
    f, g = de.with_path_kl(lambda u, p, t: model.f(u, t), lambda u, p, t: model.h(u, t), lambda u, p, t: model.g(u, t))

    def call() -> Any:
        model.zero_grad()
        u0 = torch.cat([model.start, torch.zeros(batch, 1)], dim=-1)
        prob = de.SDEProblem(f, g, u0, (0.0, SPAN))
        sol = de.solve(prob, de.EM(split=False), dt=SPAN / STEPS, saveat=TIMES, **_options(engine, rhs))
        model.loss(sol.u[..., :-1], sol.u[-1, :, -1]).backward()
        return sol

    return Run(
        call, lambda sol: Outcome(nfe=sol.stats.nf, nfe_adjoint=sol.stats.nf_adjoint, accepted=sol.stats.naccept)
    )
