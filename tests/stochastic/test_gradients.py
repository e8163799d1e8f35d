"""Gradients on a fixed path: exact ones against differences, continuous ones as they converge."""

import math

import pytest
import torch
from noisy import ALL, solve

import pydiffeqflux as de
from pydiffeqflux._memory import PeakMemory

EXACT = [de.ReverseDiffAdjoint(), de.ReverseDiffAdjoint(checkpointing=True), de.ForwardDiffSensitivity()]


def drift(u, p, t):
    return p[0] * torch.sin(u) - 0.3 * u * t


NOISES = {
    "diagonal": lambda u, p, t: p[1] * torch.cos(u) + 0.2,
    "scalar": lambda u, p, t: (p[1] * torch.cos(u)).unsqueeze(-1),
    "general": lambda u, p, t: torch.stack([p[1] * torch.cos(u), 0.3 * u], -1),
    "additive": lambda u, p, t: p[1] * (1 + t) * torch.ones_like(u),
}


def inputs(shape):
    u0 = torch.linspace(0.1, 1.0, math.prod(shape), dtype=torch.float64).reshape(shape).requires_grad_()
    return u0, torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)


def loss(alg, sensealg, g, u0, p, dt=0.1):
    prob = de.SDEProblem(drift, g, u0, (0.0, 1.0), p, seed=5)
    sol = solve(prob, alg, sensealg=sensealg, dt=dt, adaptive=False, saveat=[0.33, 1.0])
    return (sol.u**2).sum()


def gradients(*arguments, **options):
    *_, u0, p = arguments
    return torch.autograd.grad(loss(*arguments, **options), [u0, p])


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("alg", ALL, ids=repr)
def test_discrete_gradients_agree_with_differences(alg, noise):
    u0, p = inputs((2, 2))
    try:
        reference = gradients(alg, EXACT[0], NOISES[noise], u0, p)
    except de.UnsupportedError:
        assert noise in ("general", "diagonal", "scalar")  # for which some methods are not made
        return
    for i in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[i] = 1e-5
        with torch.no_grad():
            difference = (
                loss(alg, None, NOISES[noise], u0, p + step) - loss(alg, None, NOISES[noise], u0, p - step)
            ) / 2e-5
        assert reference[1][i].item() == pytest.approx(difference.item(), rel=1e-8, abs=1e-8)
    for sensealg in EXACT[1:]:
        if isinstance(alg, de.ReversibleHeun):
            with pytest.raises(de.UnsupportedError, match="BacksolveAdjoint"):
                gradients(alg, sensealg, NOISES[noise], u0, p)
            continue
        for found, expected in zip(gradients(alg, sensealg, NOISES[noise], u0, p), reference, strict=True):
            assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (9, 3)], ids=["mapped", "taped"])
@pytest.mark.parametrize("alg", [de.EM(), de.SOSRI(), de.EulerHeun(), de.ImplicitEM()], ids=repr)
def test_gradcheck(alg, shape):
    u0, p = inputs(shape)

    def run(u0, p):
        prob = de.SDEProblem(drift, NOISES["diagonal"], u0, (0.0, 0.5), p, seed=2)
        return solve(prob, alg, dt=0.1, adaptive=False, saveat=[0.2, 0.5]).u

    assert torch.autograd.gradcheck(run, (u0, p))


def test_steps_of_the_reversible_heun_method_are_undone_exactly():
    for noise, g in NOISES.items():
        u0, p = inputs((2, 3))
        taped = gradients(de.ReversibleHeun(), de.ReverseDiffAdjoint(), g, u0, p, dt=0.02)
        undone = gradients(de.ReversibleHeun(), de.BacksolveAdjoint(), g, u0, p, dt=0.02)
        for found, expected in zip(undone, taped, strict=True):
            assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12), noise


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", [de.InterpolatingAdjoint(), de.InterpolatingAdjoint(True), de.BacksolveAdjoint()])
@pytest.mark.parametrize("alg", [de.EM(), de.SOSRI(), de.EulerHeun()], ids=repr)
def test_continuous_gradients_converge_to_the_discrete_ones(alg, sensealg):
    errors = []
    for dt in (1 / 50, 1 / 800):
        u0, p = inputs((64,))
        reference = gradients(alg, de.ReverseDiffAdjoint(), NOISES["diagonal"], u0, p, dt=dt)
        found = gradients(alg, sensealg, NOISES["diagonal"], u0, p, dt=dt)
        errors.append(max(((a - b).norm() / b.norm()).item() for a, b in zip(found, reference, strict=True)))
    # at least order 1/2: by 4 in theory, of which a single set of paths shows most
    assert errors[1] < errors[0] / 2.5


def test_gradients_of_modules_and_captured_tensors_arrive():
    torch.manual_seed(0)
    f, scale = torch.nn.Linear(2, 2).double(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    prob = de.SDEProblem(
        lambda u, p, t: f(u), lambda u, p, t: scale * u, torch.ones(2, dtype=torch.float64), (0.0, 1.0), seed=1
    )
    solve(prob, de.EM(), dt=0.1).u.sum().backward()
    assert scale.grad is not None
    assert scale.grad.abs() > 0
    assert all(q.grad is not None and q.grad.abs().max() > 0 for q in f.parameters())


def test_the_gradient_of_a_moment_is_that_of_the_closed_form():
    """E u(1)² = u0² exp(2 a + b²) of geometric Brownian motion, within the sampling error of its gradient."""
    a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.4, 0.3))
    u0 = torch.ones(20_000, dtype=torch.float64)
    prob = de.SDEProblem(lambda u, p, t: p[0] * u, lambda u, p, t: p[1] * u, u0, (0.0, 1.0), (a, b), seed=1)
    sol = solve(prob, de.SOSRI(), dt=0.05, adaptive=False, saveat=[1.0])
    (sol.u[-1] ** 2).mean().backward()
    final, w = sol.u[-1].detach(), sol.noise(1.0)
    moment = math.exp(2 * 0.4 + 0.3**2)
    for found, samples, expected in (
        (a.grad, 2 * final**2, 2 * moment),
        (b.grad, 2 * final**2 * (w - 0.3), 2 * 0.3 * moment),
    ):
        assert found.item() == pytest.approx(expected, abs=4 * samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", [de.ReverseDiffAdjoint(checkpointing=True), de.BacksolveAdjoint()], ids=repr)
def test_memory_does_not_grow_with_the_steps(sensealg):
    alg = de.ReversibleHeun() if isinstance(sensealg, de.BacksolveAdjoint) else de.EulerHeun()
    peaks = []
    for steps in (128, 1024):
        u0 = torch.ones(5000, dtype=torch.float64, requires_grad=True)
        prob = de.SDEProblem(lambda u, p, t: torch.sin(u), lambda u, p, t: 0.1 * u, u0, (0.0, 1.0), seed=1)
        with PeakMemory() as memory:
            solve(prob, alg, sensealg=sensealg, dt=1 / steps, saveat=[1.0]).u.sum().backward()
        peaks.append(memory.peak)
    assert peaks[1] < 1.5 * peaks[0]


def test_times_have_no_gradient():
    t1 = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(de.InvalidProblemError, match="no gradient"):
        de.SDEProblem(drift, NOISES["diagonal"], torch.ones(2), (0.0, t1), torch.ones(2))


@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.QuadratureAdjoint()], ids=repr)
def test_adjoints_of_ordinary_equations_are_refused(sensealg):
    u0, p = inputs((3,))
    with pytest.raises(de.UnsupportedError, match="without noise"):
        loss(de.EM(), sensealg, NOISES["diagonal"], u0, p)
