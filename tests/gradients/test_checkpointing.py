import pytest
import torch
from problems import lorenz, lotka_volterra, relative, tensor

import pydiffeqflux as de


def gradient(f, u0, p, tspan, sensealg, **options):
    u0, p = tensor(u0, grad=True), tensor(p, grad=True)
    sol = de.solve(de.ODEProblem(f, u0, tspan, p), options.pop("alg", de.Tsit5()), sensealg=sensealg, **options)
    return torch.cat(torch.autograd.grad((sol.u**2).sum(), (u0, p))), sol


@pytest.mark.parametrize("kind", [de.InterpolatingAdjoint, de.GaussAdjoint])
@pytest.mark.parametrize("alg", [de.BS3(), de.Vern7(), pytest.param(de.Rodas5P(), marks=pytest.mark.slow)], ids=repr)
def test_the_same_gradient_with_and_without(kind, alg):
    # Recomputed steps repeat the operations of the forward solve: equal up to rounding, amplified over some hundred
    # steps (more than the 64 of one piece). Factorisations may differ in the last place between buffers of another
    # alignment: in 160 steps of 8 stages, whose coefficients reach 11.6; a difference of the state changes this
    # gradient 2.5 times as much. 1280 * 2.2e-16 * 11.6 * 2.5 = 8.2e-12.
    arguments = (lotka_volterra, [1.0, 1.2], [1.5, 1.0, 3.0], (0.0, 4.0))
    options = {"alg": alg, "dt": 0.025, "adaptive": False, "saveat": 0.5}
    plain, sol = gradient(*arguments, kind(), **options)
    again, _ = gradient(*arguments, kind(checkpointing=True), **options)
    assert sol.stats.naccept > 2 * 64
    assert relative(again, plain) < (8.2e-12 if alg.is_stiff else 1e-12)


@pytest.mark.parametrize("kind", [de.InterpolatingAdjoint, de.GaussAdjoint])
@pytest.mark.parametrize("steps", [1, 63, 64, 65, 129])
def test_any_number_of_steps(kind, steps):
    arguments = (lotka_volterra, [1.0, 1.2], [1.5, 1.0, 3.0], (1.0, 0.0))  # backwards in time
    options = {"dt": 1.0 / steps, "adaptive": False, "saveat": [0.7, 0.0]}
    plain, sol = gradient(*arguments, kind(), **options)
    again, _ = gradient(*arguments, kind(checkpointing=True), **options)
    assert sol.stats.naccept == steps
    assert relative(again, plain) < 1e-12


@pytest.mark.parametrize("kind", [de.InterpolatingAdjoint, de.GaussAdjoint])
def test_with_rejected_steps(kind):
    arguments = (lorenz, [1.0, 0.0, 0.0], [10.0, 28.0, 8 / 3], (0.0, 2.0))
    options = {"saveat": 0.25, "abstol": 1e-7, "reltol": 1e-7}
    plain, sol = gradient(*arguments, kind(), **options)
    again, _ = gradient(*arguments, kind(checkpointing=True), **options)
    assert sol.stats.nreject > 0
    # Chaos amplifies rounding exp(0.906 * 2) = 6 times, and so do the steps of the backward solve.
    assert relative(again, plain) < 1e-10


@pytest.mark.parametrize("tol", [1e-6, 1e-9])
def test_backsolve_checkpoints_keep_the_state_from_drifting(tol):
    # Backwards, u' = -4 u grows: errors of the backward state are amplified exp(4 * 2) unless it is reset.
    def error(checkpointing):
        u0, p = tensor([1.0], grad=True), tensor(4.0, grad=True)
        prob = de.ODEProblem(lambda u, p, t: -p * u * u.abs(), u0, (0.0, 2.0), p)
        sol = de.solve(
            prob, de.Tsit5(), saveat=0.1, sensealg=de.BacksolveAdjoint(checkpointing), abstol=tol, reltol=tol
        )
        (g,) = torch.autograd.grad(sol.u.sum(), p)
        exact = (u0 / (1 + p * u0 * sol.t)).sum()
        return relative(g, torch.autograd.grad(exact, p)[0])

    assert error(checkpointing=True) <= 100 * tol
    assert error(checkpointing=True) <= error(checkpointing=False)


def test_checkpointing_and_dense_output_together():
    u0, p = tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True)
    prob = de.ODEProblem(lotka_volterra, u0, (0.0, 4.0), p)
    options = {"saveat": 0.5, "dense": True, "dt": 0.02, "adaptive": False}
    plain, checkpointed = (
        torch.autograd.grad((de.solve(prob, de.Tsit5(), sensealg=s, **options)([0.3, 3.3]) ** 2).sum(), p)[0]
        for s in (de.GaussAdjoint(), de.GaussAdjoint(checkpointing=True))
    )
    assert relative(checkpointed, plain) < 1e-12


@pytest.mark.parametrize("n", [3, 40], ids=["mapped", "one by one"])
@pytest.mark.parametrize(
    ("alg", "stiffness"),
    [(de.BS3(), 0.0), (de.AutoTsit5(de.Rosenbrock23()), 1000.0)],
    ids=["one method", "two methods"],
)
def test_steps_made_again_have_the_gradient_of_the_first_ones(alg, stiffness, n):
    def stiffening(u, p, t):
        return -p * (1.0 + stiffness * t**4) * (u - torch.cos(t))

    gradients = []
    for sensealg in (de.ReverseDiffAdjoint(), de.ReverseDiffAdjoint(checkpointing=True)):
        u0 = torch.linspace(0.5, 1.5, n, dtype=torch.float64, requires_grad=True)
        p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        prob = de.ODEProblem(stiffening, u0, (0.0, 1.0), p)
        tolerances = {"abstol": 1e-7, "reltol": 1e-7}
        sol = de.solve(prob, alg, saveat=[0.0, 0.7, 1.0], sensealg=sensealg, engine="embedded", **tolerances)
        gradients.append(torch.autograd.grad(sol.u.square().sum(), [u0, p]))
    assert sol.stats.naccept > 64  # more than one piece
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_steps_that_would_draw_other_numbers_are_not_made_again():
    u0 = torch.ones(3, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: -u * torch.rand_like(u), u0, (0.0, 1.0))
    with pytest.raises(de.GradientError, match="draws random numbers"):
        de.solve(prob, de.Euler(), dt=0.1, sensealg=de.ReverseDiffAdjoint(checkpointing=True), engine="embedded")
