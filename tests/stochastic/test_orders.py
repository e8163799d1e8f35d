"""Strong and weak orders on problems with known solutions, and on one path refined."""

import math

import pytest
import torch
from noisy import ADDITIVE, ITO, STRATONOVICH, exact, geometric, solve

import pydiffeqflux as de

# of the last ones, order 1 where noise commutes, as that of one motion does
OBSERVED = {"EulerHeun": 1.0, "ReversibleHeun": 1.0}


def slope(steps, errors):
    x = torch.log2(1.0 / torch.tensor(steps, dtype=torch.float64))
    y = torch.log2(torch.tensor(errors, dtype=torch.float64))
    x, y = x - x.mean(), y - y.mean()
    return (x @ y / (x @ x)).item()


@pytest.mark.parametrize("alg", [*ITO, *STRATONOVICH], ids=repr)
def test_strong_order(alg):
    steps, errors = [64, 128, 256, 512], []
    for n in steps:
        sol = solve(geometric(100 if alg.is_stiff else 1000), alg, dt=1 / n, adaptive=False, saveat=[1.0])
        errors.append((sol.u[-1] - exact(alg, sol.noise(1.0))).abs().mean().item())
    nominal = OBSERVED.get(type(alg).__name__, alg.strong_order)
    assert slope(steps, errors) == pytest.approx(nominal, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("alg", ADDITIVE, ids=repr)
def test_strong_order_for_additive_noise(alg):
    """Against the same path with steps 16 times finer: their areas are those of the finer steps."""
    steps, errors = [64, 128, 256], []
    u0 = torch.linspace(-2.0, 2.0, 1000, dtype=torch.float64)
    path = de.BrownianPath((0.0, 1.0), u0.shape, seed=1, dt=1 / 64)
    prob = de.SDEProblem(lambda u, p, t: torch.sin(3 * u), lambda u, p, t: 1.0 + 0 * u, u0, (0.0, 1.0), noise=path)
    fine = solve(prob, alg, dt=1 / 4096, adaptive=False, saveat=[1.0]).u[-1]
    for n in steps:
        coarse = solve(prob, alg, dt=1 / n, adaptive=False, saveat=[1.0]).u[-1]
        errors.append((coarse - fine).abs().mean().item())
    assert slope(steps, errors) == pytest.approx(alg.strong_order, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("alg", [*(alg for alg in ITO if not alg.is_stiff), *STRATONOVICH], ids=repr)
def test_weak_order(alg):
    """The mean of u(1), less that of the solution on the same paths, which leaves little of the sampling error."""
    second = alg.weak_order > 1.0
    steps = [2, 4, 8] if second else [8, 16, 32]
    errors, sampling = [], []
    for n in steps:
        sol = solve(geometric(200_000), alg, dt=1 / n, adaptive=False, saveat=[1.0])
        difference = sol.u[-1] - exact(alg, sol.noise(1.0))
        errors.append(abs(difference.mean().item()))
        sampling.append(difference.std().item() / math.sqrt(difference.numel()))
    slack = 2 * max(s / e for s, e in zip(sampling, errors, strict=True))
    assert slope(steps, errors) > alg.weak_order - 0.2 - slack


def test_without_noise_the_steps_are_those_of_the_ordinary_method():
    u0 = torch.tensor([0.3, 1.2], dtype=torch.float64)

    def f(u, p, t):
        return torch.sin(u) - t * u

    prob = de.SDEProblem(f, lambda u, p, t: torch.zeros_like(u), u0, (0.0, 1.0))
    for alg, ordinary in ((de.EM(), de.Euler()), (de.EulerHeun(), de.Heun())):
        noisy = solve(prob, alg, dt=0.1, saveat=[1.0]).u
        plain = solve(de.ODEProblem(f, u0, (0.0, 1.0)), ordinary, dt=0.1, adaptive=False, saveat=[1.0]).u
        assert torch.allclose(noisy, plain, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("alg", [de.LambaEM(), de.RKMil(), de.SRIW1(), de.SOSRI(), de.ImplicitEM()], ids=repr)
def test_errors_follow_the_tolerance(alg):
    errors = []
    for tolerance in (1e-1, 1e-2, 1e-3):
        sol = solve(geometric(50), alg, abstol=tolerance, reltol=tolerance, saveat=[1.0])
        assert sol.retcode == de.ReturnCode.Success
        errors.append((sol.u[-1] - exact(alg, sol.noise(1.0))).abs().mean().item())
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


@pytest.mark.slow
def test_rejected_steps_do_not_bias_the_noise():
    """Where g is 1 the state is the motion itself, whatever steps another component has had rejected."""

    def g(u, p, t):
        return torch.stack([torch.ones_like(u[0]), 3.0 * torch.sin(5.0 * u[1])])

    finals, rejected = [], 0
    for seed in range(100):
        prob = de.SDEProblem(lambda u, p, t: 0 * u, g, torch.ones(2, 8, dtype=torch.float64), (0.0, 0.2), seed=seed)
        sol = solve(prob, de.SOSRI(), abstol=0.1, reltol=0.1, saveat=[0.07, 0.2])
        rejected += sol.stats.nreject
        motion = sol.u[-1, 0] - 1.0
        assert torch.allclose(motion, sol.noise(0.2)[0], rtol=0.0, atol=1e-12)
        finals.append(sol.u[1, 0] - sol.u[0, 0])
    assert rejected > 10
    increments = torch.sort(torch.cat(finals) / 0.13**0.5).values
    ranks = torch.arange(1, len(increments) + 1) / len(increments)
    distance = (torch.special.ndtr(increments) - ranks).abs().max().item()
    assert distance < 1.95 / len(increments) ** 0.5  # Kolmogorov and Smirnov's, at a level of 0.001
