"""Gradients with respect to times: t0, t1, saveat, and the time that a solution is evaluated at."""

import math

import pytest
import torch
from problems import tensor

import pydiffeqflux as de

TIGHT = {"abstol": 1e-10, "reltol": 1e-10}
SENSEALGS = [None, de.ReverseDiffAdjoint(), de.GaussAdjoint(), de.BacksolveAdjoint()]
ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]


def cooling(u, p, t):
    """Solved by u0 exp(-(t² - t0²) / 2)."""
    return -t * u


def solve(t0, t1, f=cooling, u0=None, **options):
    u0 = tensor([1.0]) if u0 is None else u0
    return de.solve(de.ODEProblem(f, u0, (t0, t1)), de.Tsit5(), **TIGHT | options)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("saveat", [None, 0.25, "end", "points"])
def test_the_ends_of_the_time_span(sensealg, saveat, engine):
    if engine == "julia" and isinstance(sensealg, de.BacksolveAdjoint) and saveat is None:
        pytest.skip("every step is a save point there, which is slow")
    t0, t1 = tensor(0.5, grad=True), tensor(1.5, grad=True)
    points = {"end": [t1], "points": torch.stack([tensor(0.75), t1])}.get(saveat, saveat)
    u = solve(t0, t1, saveat=points, sensealg=sensealg, engine=engine).u[-1].sum()
    value = math.exp(-(1.5**2 - 0.5**2) / 2)
    found = torch.autograd.grad(u, (t0, t1))
    torch.testing.assert_close(torch.stack(found), tensor([0.5 * value, -1.5 * value]), rtol=1e-7, atol=0.0)


def test_states_before_the_end_do_not_move_with_it():
    t1, u0 = tensor(1.5, grad=True), tensor([1.0], grad=True)
    sol = solve(0.5, t1, u0=u0, saveat=[1.0, 1.25])
    assert torch.autograd.grad(sol.u.sum(), (u0, t1), allow_unused=True)[1] is None


def test_times_in_equal_steps_move_with_the_start():
    """u(t0 + 0.5) is the same for all t0 where f does not depend on the time."""
    t0 = tensor(0.0, grad=True)
    sol = solve(t0, 2.0, f=lambda u, p, t: -u, saveat=0.5)
    moving = torch.autograd.grad(sol.u[1].sum(), t0)[0]
    assert abs(moving) < 1e-12
    sol = solve(t0, 2.0, f=lambda u, p, t: -u, saveat=[0.5])
    fixed = torch.autograd.grad(sol.u[0].sum(), t0)[0]
    assert abs(fixed - math.exp(-0.5)) < 1e-8
    start = torch.autograd.grad(solve(t0, 2.0, f=lambda u, p, t: -u, saveat=0.5).u[0].sum(), t0)[0]
    assert start == 0.0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_saved_times(sensealg, engine):
    times = tensor([0.0, 0.5, 1.0, 1.5], grad=True)
    u0 = tensor([1.0, 2.0], grad=True)
    sol = solve(0.0, 1.5, u0=u0, saveat=times, sensealg=sensealg, engine=engine)
    weights = tensor([1.0, 2.0, 3.0, 4.0])
    found, du0 = torch.autograd.grad((weights * sol.u.sum(1)).sum(), (times, u0))
    t = times.detach()
    torch.testing.assert_close(found, -weights * t * 3.0 * (-t * t / 2).exp(), rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(du0, (weights * (-t * t / 2).exp()).sum().expand(2), rtol=1e-7, atol=0.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_time_of_an_evaluation(engine):
    k, at = tensor(1.0, grad=True), tensor([0.3, 0.7], grad=True)
    sol = de.solve(de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), k), de.Vern7(), engine=engine,
                   dense=True, **TIGHT)  # fmt: skip
    dk, dt = torch.autograd.grad(sol(at).sum(), (k, at))
    torch.testing.assert_close(dt, -(-at.detach()).exp(), rtol=1e-7, atol=0.0)
    torch.testing.assert_close(dk, -(at * (-at).exp()).sum().detach(), rtol=1e-7, atol=0.0)
    alone = solve(0.0, 1.0, f=lambda u, p, t: -u, engine=engine)(at[0])
    torch.testing.assert_close(torch.autograd.grad(alone.sum(), at)[0][0], -torch.tensor(-0.3).double().exp())
    with pytest.raises(de.GradientError, match="time derivatives of a solution have no gradient"):
        sol(at, derivative=1)


def test_complex_states():
    t1 = tensor(0.8, grad=True)
    u0 = torch.tensor([1.0 + 0.5j], dtype=torch.complex128)
    sol = de.solve(de.ODEProblem(lambda u, p, t: 1j * u, u0, (0.0, t1)), de.Tsit5(), saveat=[t1], **TIGHT)
    found = torch.autograd.grad(sol.u.real.sum(), t1)[0]
    expected = (1j * u0 * torch.exp(torch.tensor(0.8j, dtype=torch.complex128))).real.sum()
    assert abs(found - expected) < 1e-8


def test_a_layer_learns_how_long_to_run():
    net = torch.nn.Linear(2, 2).double()
    t1 = tensor(1.0, grad=True)
    node = de.NeuralODE(net, (0.0, t1), de.Tsit5(), saveat=[1.0], **TIGHT)
    u = de.solve(de.ODEProblem(lambda u, p, t: net(u), torch.ones(2).double(), (0.0, t1)), de.Tsit5(), **TIGHT).u[-1]
    expected = net(u.detach()).sum()
    assert abs(torch.autograd.grad(u.sum(), t1)[0] - expected) < 1e-7
    node.solve_options.pop("saveat")
    assert abs(torch.autograd.grad(node(torch.ones(2).double()).u[-1].sum(), t1)[0] - expected) < 1e-7


def test_remade_problems_keep_their_times():
    t1 = tensor(1.0, grad=True)
    prob = de.remake(de.ODEProblem(cooling, tensor([1.0]), (0.0, t1)), u0=tensor([2.0]))
    found = torch.autograd.grad(de.solve(prob, de.Tsit5(), **TIGHT).u[-1].sum(), t1)[0]
    assert abs(found + 2.0 * math.exp(-0.5)) < 1e-8


def test_what_has_no_gradient_is_refused():
    t1 = tensor(1.0, grad=True)
    prob = de.ODEProblem(cooling, tensor([1.0]), (0.0, t1), mass_matrix=tensor([[2.0]]))
    with pytest.raises(de.UnsupportedError, match="times have no gradient in problems with a mass matrix"):
        de.solve(prob, de.Rodas5P())
    (first,) = torch.autograd.grad(solve(0.0, t1).u[-1].sum(), t1, create_graph=True)
    with pytest.raises(de.GradientError, match="second derivatives"):
        first.backward()
