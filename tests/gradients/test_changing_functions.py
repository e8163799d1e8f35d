"""An f that is not a pure function of its arguments: the gradient is that of what was solved, or refused."""

import math

import numpy as np
import pytest
import torch
from problems import tensor

import pydiffeqflux as de

TIGHT = {"abstol": 1e-9, "reltol": 1e-9}
SENSEALGS = [
    None,
    de.ReverseDiffAdjoint(),
    de.ForwardDiffSensitivity(),
    de.GaussAdjoint(),
    de.InterpolatingAdjoint(),
    de.QuadratureAdjoint(),
    de.BacksolveAdjoint(),
]
ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]


def _skip_on(engine, sensealg):
    if engine == "julia" and isinstance(sensealg, de.ForwardDiffSensitivity):
        pytest.skip("julia differentiates torch functions by reverse mode only")


# ---- functions that can be traced: a solve owns what it read


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_an_attribute_set_before_each_solve(sensealg, engine):
    _skip_on(engine, sensealg)

    class Driven(torch.nn.Module):
        rate = 1.0

        def __init__(self):
            super().__init__()
            self.k = torch.nn.Parameter(tensor(0.5))

        def forward(self, u, p, t):
            return -self.rate * self.k * u

    f, total, expected = Driven(), 0.0, 0.0
    for rate in (1.0, 2.0, 3.0):
        f.rate = rate
        prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0))
        total = total + de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, engine=engine, **TIGHT).u.sum()
        expected -= rate * math.exp(-0.5 * rate)
    total.backward()
    assert abs(f.k.grad - expected) < 1e-7


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_loop_variable(sensealg, engine):
    _skip_on(engine, sensealg)
    ks, us = [tensor(k, grad=True) for k in (0.2, 0.5, 1.0)], []
    for k in ks:
        prob = de.ODEProblem(lambda u, p, t: -k * u, tensor([1.0]), (0.0, 1.0))  # noqa: B023 - that is the point
        us.append(de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, engine=engine, **TIGHT).u.sum())
    found = torch.autograd.grad(sum(us), ks)
    for k, g in zip(ks, found, strict=True):
        assert abs(g + math.exp(-k.item())) < 1e-7


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_weights_swapped_in_and_computed_outside(sensealg, engine):
    """By `functional_call`, from a network that makes them."""
    _skip_on(engine, sensealg)
    net = torch.nn.Linear(1, 1, bias=False).double()
    node = de.NeuralODE(net, (0.0, 1.0), de.Tsit5(), sensealg=sensealg, saveat=[1.0], engine=engine, **TIGHT)
    source = tensor([[0.3]], grad=True)
    u = torch.func.functional_call(node, {"model.weight": source**2}, (tensor([1.0]),)).u.sum()
    (found,) = torch.autograd.grad(u, source)
    assert abs(found - 2 * 0.3 * math.exp(0.09)) < 1e-7
    assert isinstance(net.weight, torch.nn.Parameter)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replaced_layer(engine):
    net = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    old = net[0]
    prob = de.ODEProblem(lambda u, p, t: net(u), tensor([1.0]), (0.0, 1.0))
    u = de.solve(prob, de.Tsit5(), saveat=[1.0], engine=engine, **TIGHT).u.sum()
    net[0] = torch.nn.Linear(1, 1, bias=False).double()
    u.backward()
    assert abs(old.weight.grad - math.exp(0.5)) < 1e-7
    assert net[0].weight.grad is None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_an_array_modified_in_place(sensealg, engine):
    """Torch does not notice that: the solve has a copy."""
    _skip_on(engine, sensealg)
    rates, k = np.array([1.0, 2.0]), tensor(0.5, grad=True)

    def f(u, p, t):
        return -torch.from_numpy(rates) * p * u

    prob = de.ODEProblem(f, tensor([1.0, 1.0]), (0.0, 1.0), k)
    u = de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, engine=engine, **TIGHT).u.sum()
    rates[:] = 7.0
    u.backward()
    assert abs(k.grad + math.exp(-0.5) + 2.0 * math.exp(-1.0)) < 1e-7


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_a_solution_modified_in_place(sensealg):
    k = tensor(0.5, grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), k)
    sol = de.solve(prob, de.Tsit5(), saveat=[0.5, 1.0], sensealg=sensealg, **TIGHT)
    loss = (3.0 * sol.u).sum()
    with torch.no_grad():
        sol.u.zero_()
    loss.backward()
    assert abs(k.grad + 3.0 * (0.5 * math.exp(-0.25) + math.exp(-0.5))) < 1e-7


# ---- functions that cannot be traced: what has changed is noticed


def _untraceable(read):
    calls = []

    def f(u, p, t):
        calls.append(t)
        return -read() * u

    return f


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", [s for s in SENSEALGS if s != de.ForwardDiffSensitivity()], ids=repr)
@pytest.mark.filterwarnings("ignore::pydiffeqflux.JuliaWarning")
def test_what_is_read_anew_must_not_change(sensealg, engine):
    k, held = tensor(0.5, grad=True), [1.0]
    f = _untraceable(lambda: held[0] * k)
    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0))
    u = de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, engine=engine, **TIGHT).u.sum()
    (found,) = torch.autograd.grad(u, k, retain_graph=True)
    assert abs(found + math.exp(-0.5)) < 1e-7
    held[0] = 2.0
    with pytest.raises(de.GradientError, match="something that it reads has changed"):
        u.backward()
    held[0] = 1.0
    u.backward()
    assert abs(k.grad + math.exp(-0.5)) < 1e-7


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
def test_what_is_used_later_has_a_gradient(sensealg):
    early, late, never = tensor(0.5, grad=True), tensor(1.5, grad=True), tensor(1.0, grad=True)

    def f(u, p, t):
        return -(early if t < 1.0 else late if t < 5.0 else never) * u

    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 2.0))
    de.solve(prob, de.Tsit5(), saveat=[2.0], tstops=[1.0], sensealg=sensealg, **TIGHT).u.sum().backward()
    assert abs(early.grad + math.exp(-2.0)) < 1e-6
    assert abs(late.grad + math.exp(-2.0)) < 1e-6
    assert never.grad == 0.0


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
def test_an_f_without_the_state_is_no_mistake(sensealg):
    u0, amplitude = tensor([1.0], grad=True), tensor(2.0, grad=True)
    prob = de.ODEProblem(lambda u, p, t: torch.zeros_like(u) + t.cos(), u0, (0.0, 1.0))
    de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg).u.sum().backward()
    assert u0.grad == 1.0
    prob = de.ODEProblem(lambda u, p, t: (p * t.cos()).expand(1), tensor([0.0]), (0.0, 1.0), amplitude)
    de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, **TIGHT).u.sum().backward()
    assert abs(amplitude.grad - math.sin(1.0)) < 1e-8


# ---- random functions


def _noisy_gradients(sensealg, net, engine="embedded"):
    torch.manual_seed(3)
    node = de.NeuralODE(net, (0.0, 1.0), de.RK4(), dt=0.1, saveat=[1.0], sensealg=sensealg, engine=engine)
    return node(tensor([1.0, -1.0, 0.5])).u.sum()


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint()], ids=repr)
def test_gradients_repeat_the_draws_of_the_solve(sensealg):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5)).double()
    bias, eps = net[0].bias, 1e-6
    (found,) = torch.autograd.grad(_noisy_gradients(sensealg, net), bias)
    for i in range(3):
        values = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                bias[i] += sign * eps
            values.append(_noisy_gradients(sensealg, net).item())
            with torch.no_grad():
                bias[i] -= sign * eps
        # rounding of the values over the distance
        assert abs(found[i] - (values[0] - values[1]) / (2 * eps)) < 1e-15 / eps * 10


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.BacksolveAdjoint()], ids=repr)
@pytest.mark.filterwarnings("ignore::pydiffeqflux.JuliaWarning")
def test_adjoints_that_would_draw_anew_are_refused(sensealg, engine):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5)).double()
    with pytest.raises(de.GradientError, match=r"returns something else each time.*eval\(\)"):
        _noisy_gradients(sensealg, net, engine)
    assert _noisy_gradients(sensealg, net.eval(), engine).requires_grad


# ---- functions that write to what they read


class _Averaging(torch.nn.Module):
    """Divides by a running average, which it updates itself."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(tensor(1.0))
        self.register_buffer("average", tensor(1.0))

    def forward(self, u, p, t):
        with torch.no_grad():
            self.average.mul_(0.9).add_(0.1 * u.abs().mean())
        return -self.k * u / self.average


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_an_f_that_writes_to_what_it_reads_has_no_gradient(sensealg):
    f = _Averaging()
    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0))
    with pytest.raises(de.GradientError, match=r"returns something else each time|writes in place"):
        de.solve(prob, de.Euler(), dt=0.25, saveat=[1.0], sensealg=sensealg).u.sum().backward()


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
def test_statistics_that_are_not_read_do_no_harm(sensealg):
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).double()
    u0 = tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]], grad=True)
    sol = de.solve(de.ODEProblem(lambda u, p, t: net(u), u0, (0.0, 1.0)), de.Tsit5(), sensealg=sensealg, **TIGHT)
    assert torch.autograd.grad(sol.u[-1].square().sum(), u0)[0].isfinite().all()
    assert net[1].num_batches_tracked > 0


def test_methods_that_are_replaced_are_seen():
    class Net(torch.nn.Module):
        def forward(self, u, p, t):
            return -p * u

    net, p = Net(), tensor(1.0, grad=True)
    ends = []
    for factor in (1.0, 3.0):
        Net.forward = lambda self, u, p, t, factor=factor: -factor * p * u
        prob = de.ODEProblem(net, tensor([1.0]), (0.0, 1.0), p)
        ends.append(de.solve(prob, de.Tsit5(), saveat=[1.0], **TIGHT).u.item())
    assert abs(ends[0] - math.exp(-1.0)) < 1e-8
    assert abs(ends[1] - math.exp(-3.0)) < 1e-8


@pytest.mark.parametrize("sensealg", [de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
def test_a_change_that_shows_later_only(sensealg):
    """Where f is called as it is, it is compared at states of the solve, too."""
    held, p = [1.0], tensor(1.0, grad=True)

    def f(u, p, t):
        return -p * (held[0] if u.sum().item() < 0.5 else 1.0) * u

    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0), p)
    u = de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, **TIGHT).u.sum()
    held[0] = 3.0
    with pytest.raises(de.GradientError, match="something that it reads has changed"):
        u.backward()
