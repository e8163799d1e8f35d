"""Checkpoints and autocast, inside of f and around a solve."""

import pytest
import torch
from problems import tensor
from torch.utils.checkpoint import checkpoint

import pydiffeqflux as de

SENSEALGS = [
    None,
    de.ReverseDiffAdjoint(),
    de.ForwardDiffSensitivity(),
    de.GaussAdjoint(),
    de.BacksolveAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
]
U0 = tensor([0.5, -1.0, 2.0])


@pytest.fixture
def net():
    return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()


def _gradients(f, net, sensealg, *, around=None):
    u0 = U0.clone().requires_grad_()

    def end(u0):
        prob = de.ODEProblem(f, u0, (0.0, 1.0))
        return de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=sensealg, abstol=1e-10, reltol=1e-10).u.sum()

    value = end(u0) if around is None else around(end, u0)
    return torch.autograd.grad(value, [u0, *net.parameters()])


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_inside(net, sensealg, reentrant):
    expected = _gradients(lambda u, p, t: net(u), net, sensealg)
    found = _gradients(lambda u, p, t: checkpoint(net, u, use_reentrant=reentrant), net, sensealg)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_checkpoints_around(net, sensealg):
    expected = _gradients(lambda u, p, t: net(u), net, sensealg)
    found = _gradients(
        lambda u, p, t: net(u), net, sensealg, around=lambda end, u0: checkpoint(end, u0, use_reentrant=False)
    )
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
def test_autocast_around_is_that_of_the_solve(sensealg):
    """As where it is inside of f, also for the gradient, which is taken outside."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    cast = {"device_type": "cpu", "dtype": torch.bfloat16}

    def inside(u, p, t):
        with torch.autocast(**cast):
            return net(u).float()

    def around(u, p, t):
        return net(u).float()

    found = []
    for f, enabled in ((inside, False), (around, True)):
        u0 = U0.float().requires_grad_()
        with torch.autocast(**cast, enabled=enabled):
            sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0)), de.RK4(), dt=0.1, saveat=[1.0], sensealg=sensealg)
        found.append((sol.u.detach(), *torch.autograd.grad(sol.u.sum(), [u0, *net.parameters()])))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_a_state_of_low_precision_is_refused_by_name():
    net = torch.nn.Linear(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(de.RightHandSideError, match=r"torch\.bfloat16"):
        de.solve(de.ODEProblem(lambda u, p, t: net(u), U0.float(), (0.0, 1.0)), de.Tsit5())
