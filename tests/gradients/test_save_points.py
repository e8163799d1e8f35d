import pytest
import torch
from problems import SENSEALGS, lotka_volterra, relative, tensor

import pydiffeqflux as de

TOL = 1e-9
BAR = 1e-6  # the loss, its first and its second derivatives are of size 100 here: 10 tolerances times 100


def leaves():
    return tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True)


def solve(u0, p, sensealg, tspan=(0.0, 2.0), alg=None, **options):
    prob = de.ODEProblem(lotka_volterra, u0, tspan, p)
    return de.solve(prob, alg or de.Vern7(), sensealg=sensealg, abstol=TOL, reltol=TOL, **options)


def grads(loss, inputs):
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, inputs, retain_graph=True)])


def exact(value, time):
    """Gradients of a scalar of the states at some times, from a tight solve."""
    inputs = leaves()
    prob = de.ODEProblem(lotka_volterra, inputs[0], (0.0, 2.0), inputs[1])
    sol = de.solve(prob, de.Vern7(), saveat=time, sensealg=de.ReverseDiffAdjoint(), abstol=1e-13, reltol=1e-13)
    return grads(value(sol.u), inputs)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_every_step_is_saved(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg)
    # Only the last state has a time that does not depend on the steps chosen.
    assert relative(grads((sol.u[-1] ** 2).sum(), inputs), exact(lambda u: (u[-1] ** 2).sum(), [2.0])) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_loss_on_every_step(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg)
    assert relative(grads(sol.u.sum(), inputs), exact(torch.sum, sol.t.tolist())) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_loss_on_some_save_points(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[0.3, 0.7, 1.1, 1.9])
    assert relative(grads((sol.u[1] * sol.u[2]).sum(), inputs), exact(lambda u: (u[0] * u[1]).sum(), [0.7, 1.1])) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_loss_on_the_initial_state_alone(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[0.0, 1.0])
    assert torch.equal(grads((3 * sol.u[0]).sum(), inputs), tensor([3.0, 3.0, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_loss_of_zero_weight(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[0.0, 1.0])
    assert torch.equal(grads((0 * sol.u).sum(), inputs), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_last_save_point_before_the_end_of_the_span(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[0.5, 1.3])
    assert relative(grads((sol.u**2).sum(), inputs), exact(lambda u: (u**2).sum(), [0.5, 1.3])) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("alg", [de.Vern7(), pytest.param(de.Rodas5P(), marks=pytest.mark.slow)], ids=repr)
def test_gradients_flow_through_sol_of_t(alg, sensealg):
    inputs = leaves()
    times = [1.7, 0.0, 0.4, 1.1, 2.0]  # in any order
    sol = solve(*inputs, sensealg, alg=alg, dense=True)
    weights = tensor([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    order = sorted(range(5), key=times.__getitem__)
    expected = exact(lambda u: (weights[order] * u**2).sum(), sorted(times))
    assert relative(grads((weights * sol(times) ** 2).sum(), inputs), expected) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_saved_states_and_sol_of_t_add_up(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[1.0], dense=True)
    expected = exact(lambda u: u[0].sum() + u[1].prod(), [0.5, 1.0])
    assert relative(grads(sol(0.5).sum() + sol.u[0].prod(), inputs), expected) < BAR


def test_time_derivatives_of_a_solution_have_no_gradient():
    inputs = leaves()
    slope = solve(*inputs, de.GaussAdjoint())(0.5, derivative=1)
    with pytest.raises(de.GradientError, match="time derivatives"):
        slope.sum().backward()


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_tstops_do_not_change_the_gradient(sensealg):
    inputs = leaves()
    sol = solve(*inputs, sensealg, saveat=[0.7, 2.0], tstops=[0.5, 1.0])
    assert relative(grads((sol.u**2).sum(), inputs), exact(lambda u: (u**2).sum(), [0.7, 2.0])) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_backwards_in_time(sensealg):
    # The same as forwards with f(u, -t) mirrored.
    inputs, mirror = leaves(), leaves()
    sol = solve(*inputs, sensealg, tspan=(2.0, 0.5), saveat=[1.4, 0.5])
    mirrored = de.ODEProblem(lambda u, p, t: -lotka_volterra(u, p, -t), mirror[0], (0.0, 1.5), mirror[1])
    other = de.solve(
        mirrored, de.Vern7(), saveat=[0.6, 1.5], sensealg=de.ReverseDiffAdjoint(), abstol=1e-13, reltol=1e-13
    )
    assert relative(grads((sol.u**2).sum(), inputs), grads((other.u**2).sum(), mirror)) < BAR
