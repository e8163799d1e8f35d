import pytest
import torch
from problems import DISCRETE, SENSEALGS, relative, tensor
from torch import nn

import pydiffeqflux as de

CLOSURE = [s for s in SENSEALGS if not isinstance(s, de.ForwardDiffSensitivity)]
TIGHT = {"abstol": 1e-10, "reltol": 1e-10}
# u(1) = exp(-k) u0 for u' = -k u: the gradient of its sum with respect to k is -exp(-k) sum(u0). Ten tolerances.
U0 = tensor([1.0, 2.0])
BAR = 10 * 1e-10


def decayed(k):
    return -torch.exp(-torch.as_tensor(k, dtype=torch.float64)) * U0.sum()


def solve_sum(f, p=None, *, sensealg, **options):
    return de.solve(de.ODEProblem(f, U0, (0.0, 1.0), p), de.Tsit5(), sensealg=sensealg, **(TIGHT | options)).u[-1].sum()


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_nested_parameters(sensealg):
    p = {"rates": [tensor(0.3, grad=True), (tensor([0.1, 0.1], grad=True), 0.2)], "name": {"x": None}}

    def f(u, p, t):
        a, (b, c) = p["rates"]
        return -(a + b + c) * u

    solve_sum(f, p, sensealg=sensealg).backward()
    assert relative(p["rates"][0].grad, decayed(0.6)) < BAR
    # b belongs to one component each.
    assert relative(p["rates"][1][0].grad, -torch.exp(tensor(-0.6)) * U0) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_module_parameters(sensealg):
    class Decay(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(tensor(0.6))
            self.frozen = nn.Parameter(tensor(1.0), requires_grad=False)

        def forward(self, u, p, t):
            return -self.k * self.frozen * u

    f = Decay()
    solve_sum(f, sensealg=sensealg).backward()
    assert relative(f.k.grad, decayed(0.6)) < BAR
    assert f.frozen.grad is None


@pytest.mark.parametrize("sensealg", CLOSURE, ids=repr)
def test_closure_parameters(sensealg):
    k = tensor(0.6, grad=True)
    solve_sum(lambda u, p, t: -k * u, sensealg=sensealg).backward()
    assert relative(k.grad, decayed(0.6)) < BAR


@pytest.mark.parametrize("sensealg", CLOSURE, ids=repr)
def test_computed_closure_parameters(sensealg):
    # The graph from root to k lies outside of f and must survive every pass through it.
    root = tensor(0.6).sqrt().requires_grad_()
    k = root**2
    total = solve_sum(lambda u, p, t: -k * u, sensealg=sensealg)
    total.backward(retain_graph=True)
    once = root.grad.clone()
    total.backward()
    assert relative(once, decayed(0.6) * 2 * root.detach()) < BAR
    assert torch.equal(root.grad, 2 * once)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_computed_parameters(sensealg):
    root = tensor(0.6).sqrt().requires_grad_()
    solve_sum(lambda u, p, t: -p * u, root**2, sensealg=sensealg).backward()
    assert relative(root.grad, decayed(0.6) * 2 * root.detach()) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_one_tensor_in_two_places(sensealg):
    k = tensor(0.3, grad=True)
    solve_sum(lambda u, p, t: -(p["a"] + p["b"]) * u, {"a": k, "b": k}, sensealg=sensealg).backward()
    assert relative(k.grad, 2 * decayed(0.6)) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_parameters_and_module_together(sensealg):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(tensor(0.25))

        def forward(self, u, p, t):
            return -(self.k + p) * u

    f, p = Mixed(), tensor(0.35, grad=True)
    solve_sum(f, p, sensealg=sensealg).backward()
    assert relative(f.k.grad, decayed(0.6)) < BAR
    assert relative(p.grad, decayed(0.6)) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_frozen_parameters_get_no_gradient(sensealg):
    p = {"free": tensor(0.3, grad=True), "frozen": tensor(0.3)}
    solve_sum(lambda u, p, t: -(p["free"] + p["frozen"]) * u, p, sensealg=sensealg).backward()
    assert p["frozen"].grad is None
    assert relative(p["free"].grad, decayed(0.6)) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_unused_parameter_warns_and_has_gradient_zero(sensealg):
    p = {"used": tensor(0.6, grad=True), "unused": tensor([1.0, 1.0], grad=True)}
    with pytest.warns(de.GradientWarning, match="does not use 1 of the 2"):
        total = solve_sum(lambda u, p, t: -p["used"] * u, p, sensealg=sensealg)
    total.backward()
    assert torch.equal(p["unused"].grad, torch.zeros(2, dtype=torch.float64))
    assert relative(p["used"].grad, decayed(0.6)) < BAR


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_constant_slope(sensealg):
    # f does not depend on u: every Jacobian is zero.
    p = tensor([3.0, 4.0], grad=True)
    u0 = U0.clone().requires_grad_()
    prob = de.ODEProblem(lambda u, p, t: p * t, u0, (0.0, 2.0), p)
    de.solve(prob, de.Tsit5(), sensealg=sensealg, **TIGHT).u[-1].sum().backward()
    assert torch.allclose(p.grad, tensor([2.0, 2.0]), rtol=1e-12)
    assert torch.allclose(u0.grad, tensor([1.0, 1.0]), rtol=1e-12)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_only_the_initial_state_requires_a_gradient(sensealg):
    u0 = U0.clone().requires_grad_()
    de.solve(de.ODEProblem(lambda u, p, t: -p * u, u0, (0.0, 1.0), 0.6), de.Tsit5(), sensealg=sensealg, **TIGHT).u[
        -1
    ].sum().backward()
    assert relative(u0.grad, torch.exp(tensor([-0.6, -0.6]))) < BAR


def test_closure_parameters_of_an_f_that_cannot_be_traced_are_refused_by_forward_mode():
    k, calls = tensor(0.6, grad=True), []

    def f(u, p, t):
        calls.append(t)
        return -k * u

    total = solve_sum(f, sensealg=de.ForwardDiffSensitivity())
    with pytest.raises(de.GradientError, match="parameters that f holds itself"):
        total.backward()


def test_no_gradient_is_computed_without_need():
    k = tensor(0.6, grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u, U0, (0.0, 1.0), k)
    with torch.no_grad():
        sol = de.solve(prob, de.Tsit5(), sensealg=de.GaussAdjoint())
    assert sol.sensealg is None
    assert not sol.u.requires_grad
    assert de.solve(prob, de.Tsit5(), sensealg=de.GaussAdjoint()).u.requires_grad


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
def test_parameters_of_another_dtype(sensealg):
    k = torch.tensor(0.5, requires_grad=True)  # float32 in a float64 problem
    total = solve_sum(lambda u, p, t: -p.double() * u, k, sensealg=sensealg)
    total.backward()
    assert k.grad.dtype == torch.float32
    assert relative(k.grad.double(), decayed(0.5)) < 1e-6  # the rounding of float32
