import pytest
import torch
from problems import SENSEALGS, lotka_volterra, tensor

import pydiffeqflux as de


def solved(sensealg):
    u0, p = tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True)
    sol = de.solve(de.ODEProblem(lotka_volterra, u0, (0.0, 2.0), p), de.Tsit5(), saveat=0.5, sensealg=sensealg)
    return sol, u0, p


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_second_backward_pass_gives_the_same_gradient(sensealg):
    sol, u0, p = solved(sensealg)
    loss = (sol.u**2).sum()
    loss.backward(retain_graph=True)
    first = u0.grad.clone(), p.grad.clone()
    loss.backward()
    assert torch.equal(u0.grad, 2 * first[0])
    assert torch.equal(p.grad, 2 * first[1])


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_two_losses_of_one_solution(sensealg):
    # The adjoint is linear in the loss: exactly for the discrete methods, to the tolerance for the others, whose steps
    # differ. Default tolerances, reltol 1e-3, on a gradient of size 100.
    sol, _, p = solved(sensealg)
    (first,) = torch.autograd.grad(sol.u[1].sum(), p, retain_graph=True)
    (second,) = torch.autograd.grad((3 * sol.u[2]).sum(), p, retain_graph=True)
    (both,) = torch.autograd.grad(sol.u[1].sum() + (3 * sol.u[2]).sum(), p)
    assert torch.allclose(first + second, both, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("sensealg", [s for s in SENSEALGS if s != de.ReverseDiffAdjoint()], ids=repr)
def test_second_derivatives_are_refused(sensealg):
    sol, u0, _ = solved(sensealg)
    (g,) = torch.autograd.grad((sol.u**2).sum(), u0, create_graph=True)
    with pytest.raises(de.GradientError, match="second derivative"):
        g.sum().backward()


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_the_gradient_itself_is_right_when_a_graph_is_made(sensealg):
    sol, u0, _ = solved(sensealg)
    (plain,) = torch.autograd.grad((sol.u**2).sum(), u0, retain_graph=True)
    (graph,) = torch.autograd.grad((sol.u**2).sum(), u0, create_graph=True)
    # by the steps made again, which adds up in another order
    torch.testing.assert_close(plain, graph.detach(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_gradients_accumulate(sensealg):
    sol, u0, p = solved(sensealg)
    u0.grad, p.grad = torch.ones_like(u0), torch.ones_like(p)
    (expected,) = torch.autograd.grad(sol.u[-1].sum(), p, retain_graph=True)
    sol.u[-1].sum().backward()
    assert torch.allclose(p.grad, 1 + expected)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_backward_counts_its_evaluations(sensealg):
    sol, _, _ = solved(sensealg)
    forward = sol.stats.nf
    assert sol.stats.nf_adjoint == 0
    sol.u.sum().backward()
    assert sol.stats.nf_adjoint > 0
    assert sol.stats.nf == forward


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_failed_solve_cannot_be_differentiated(sensealg):
    p = tensor([1.5, 1.0, 3.0], grad=True)
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.2]), (0.0, 10.0), p)
    sol = de.solve(prob, de.Tsit5(), sensealg=sensealg, maxiters=5, throw=False, verbose=False)
    with pytest.raises(de.SolverError, match="MaxIters") as caught:
        sol.u.sum().backward()
    assert caught.value.retcode is de.ReturnCode.MaxIters
    again, _, p = solved(sensealg)
    again.u.sum().backward()
    assert bool(torch.isfinite(p.grad).all())


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_parameters_modified_after_the_solve_are_noticed(sensealg):
    sol, u0, p = solved(sensealg)
    with torch.no_grad():
        p.mul_(2.0)
    with pytest.raises(de.GradientError, match=r"modified in place.*before optimizer.step"):
        sol.u.sum().backward()
    assert u0.grad is None


def test_a_state_modified_after_the_solve_does_no_harm():
    sol, u0, p = solved(de.ReverseDiffAdjoint())
    expected = torch.autograd.grad(sol.u.sum(), p, retain_graph=True)
    with torch.no_grad():
        u0.mul_(2.0)
    assert torch.equal(torch.autograd.grad(sol.u.sum(), p)[0], expected[0])


class Driven(torch.nn.Module):
    """`u' = -rate u + force`, and tensors that it does not read."""

    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(tensor([1.0, 2.0]))
        self.register_buffer("force", tensor([0.5, 0.1]))
        self.register_buffer("average", tensor([0.0, 0.0]))

    def forward(self, u, p, t):
        return -self.rate * u + self.force + 0.0 * t


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_captured_tensors_modified_after_the_solve_are_noticed(sensealg):
    f = Driven()
    sol = de.solve(de.ODEProblem(f, tensor([1.0, 1.2]), (0.0, 2.0)), de.Tsit5(), saveat=0.5, sensealg=sensealg)
    f.average.add_(1.0)  # as a running mean of the loss may be
    torch.autograd.grad(sol.u.sum(), f.rate, retain_graph=True)
    f.force.add_(1.0)
    with pytest.raises(de.GradientError, match=r"a tensor that f reads was modified in place"):
        sol.u.sum().backward()


def test_captured_tensors_of_a_closure_modified_after_the_solve_are_noticed():
    force, u0 = tensor([0.5, 0.1]), tensor([1.0, 1.2], grad=True)
    sol = de.solve(de.ODEProblem(lambda u, p, t: force - u, u0, (0.0, 2.0)), de.Tsit5(), saveat=0.5)
    force.mul_(2.0)
    with pytest.raises(de.GradientError, match=r"a tensor that f reads was modified in place"):
        sol.u.sum().backward()


def test_tensors_that_f_writes_to_itself_do_no_harm():
    """A counter of calls, or the statistics of batch normalisation."""
    calls, rate = tensor(0.0), tensor([1.0, 2.0], grad=True)

    def f(u, p, t):
        with torch.no_grad():
            calls.add_(1.0)
        return -rate * u

    prob = de.ODEProblem(f, tensor([1.0, 1.2]), (0.0, 2.0))
    sols = [de.solve(prob, de.Tsit5(), saveat=0.5, sensealg=de.GaussAdjoint()) for _ in range(2)]
    gradients = [torch.autograd.grad(sol.u.sum(), rate, retain_graph=True)[0] for sol in (*sols, sols[0])]
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
