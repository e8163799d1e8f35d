"""Gradients of small networks against difference quotients, by torch's own gradcheck."""

import copy

import pytest
import torch
from both_engines import engines_and_adjoints, on
from problems import tensor
from torch.autograd import gradcheck
from torch.func import functional_call

import pydiffeqflux as de

# the padding of the convolution is called back on julia
pytestmark = pytest.mark.filterwarnings("ignore::pydiffeqflux.JuliaWarning")

# Solves at a tolerance of 1e-12 differ from the exact solution by ten tolerances, and from one another by as much where
# their steps differ, which the quotients divide by 2 eps. Their own error is eps² / 6 times third derivatives, which
# are below 10 for these networks (tanh''' is 2 at most, in two layers). Each part is below 1e-7, and so is the error of
# an adjoint at that tolerance.
TIGHT = {"abstol": 1e-12, "reltol": 1e-12}
CHECK = {"eps": 1e-4, "atol": 1e-6, "rtol": 1e-6}


class WithTime(torch.nn.Module):
    """A perceptron that is shown the time, for a batch of states."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)

    def forward(self, u, t):
        return self.second(torch.tanh(self.first(torch.cat([u, t.expand(*u.shape[:-1], 1)], dim=-1))))


class Gated(torch.nn.Module):
    """As in continuous normalising flows: a layer whose gate and bias depend on the time."""

    def __init__(self):
        super().__init__()
        self.layer, self.gate = torch.nn.Linear(2, 2), torch.nn.Linear(1, 2)

    def forward(self, u, t):
        return torch.nn.functional.softplus(self.layer(u)) * torch.sigmoid(self.gate(t.reshape(1))) - u


class Convolution(torch.nn.Module):
    """On a ring of four cells."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")

    def forward(self, u, t):
        return torch.cos(t) * torch.sin(self.layer(u[:, None, :])[:, 0, :])


NETWORKS = {"perceptron": (WithTime, (2, 2)), "gated": (Gated, (2,)), "convolution": (Convolution, (1, 4))}


def check(engine, alg, sensealg, name, *, span=(0.0, 1.0), saveat=(0.4, 1.0), **options):
    cls, shape = NETWORKS[name]
    torch.manual_seed(2)
    # its own parameters are not used: they are those passed
    network = cls().double().requires_grad_(False)
    names = [name for name, _ in network.named_parameters()]

    def states(u0, *values):
        def f(u, p, t):
            return functional_call(network, p, (u, t))

        prob = de.ODEProblem(f, u0, span, dict(zip(names, values, strict=True)))
        return de.solve(prob, alg, saveat=list(saveat), sensealg=sensealg, engine=engine, **TIGHT).u

    inputs = [torch.randn(shape, dtype=torch.float64), *(q.detach() for q in network.parameters())]
    assert gradcheck(states, [x.clone().requires_grad_() for x in inputs], **CHECK, **options)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("engine", "sensealg"), engines_and_adjoints(), ids=repr)
def test_in_one_random_direction(engine, sensealg, name):
    check(engine, de.Vern7(), sensealg, name, fast_mode=True)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("engine", "sensealg"),
    [on(*case.values, slow=case.values[0] == "embedded") for case in engines_and_adjoints()],
    ids=repr,
)
def test_in_every_direction(engine, sensealg, name):
    check(engine, de.Vern7(), sensealg, name)


@pytest.mark.parametrize(
    ("engine", "sensealg"),
    [case for case in engines_and_adjoints() if not getattr(case.values[1], "checkpointing", False)],
    ids=repr,
)
def test_backwards_in_time_with_both_ends_saved(engine, sensealg):
    check(engine, de.Vern7(), sensealg, "gated", span=(0.5, -0.5), saveat=(0.5, 0.1, -0.5), fast_mode=True)


@pytest.mark.parametrize(("engine", "sensealg"), engines_and_adjoints(), ids=repr)
def test_a_module_with_its_own_parameters_gets_the_gradients_of_parameters_passed(engine, sensealg):
    torch.manual_seed(2)
    network = WithTime().double()
    frozen = copy.deepcopy(network).requires_grad_(False)
    u0 = tensor([[0.3, -0.5], [0.2, 1.0]])
    names = [name for name, _ in network.named_parameters()]
    options = {"saveat": [0.4, 1.0], "sensealg": sensealg, "engine": engine, "abstol": 1e-9, "reltol": 1e-9}

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, u, p, t):
            return self.network(u, t)

    own = de.solve(de.ODEProblem(Own(), u0, (0.0, 1.0)), de.Tsit5(), **options).u
    found = torch.autograd.grad((own**3).sum(), list(network.parameters()))
    values = [q.detach().clone().requires_grad_() for q in network.parameters()]
    prob = de.ODEProblem(
        lambda u, p, t: functional_call(frozen, p, (u, t)), u0, (0.0, 1.0), dict(zip(names, values, strict=True))
    )
    passed = de.solve(prob, de.Tsit5(), **options).u
    # the same operations on the same numbers; compiled they may be contracted otherwise
    assert torch.allclose(own, passed, rtol=0.0 if engine == "embedded" else 1e-13, atol=0.0)
    for g, h in zip(found, torch.autograd.grad((passed**3).sum(), values), strict=True):
        assert torch.allclose(g, h, rtol=1e-12, atol=1e-13)
