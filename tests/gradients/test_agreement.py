import pytest
import torch
from problems import SENSEALGS, relative, tensor

import pydiffeqflux as de


def pendulums(u, p, t):
    return torch.tanh(p["coupling"] @ u) * torch.cos(t) - p["friction"] * u


def gradients(alg, sensealg, tol):
    generator = torch.Generator().manual_seed(1)
    p = {
        "coupling": torch.randn(3, 3, dtype=torch.float64, generator=generator).requires_grad_(),
        "friction": tensor([0.1, 0.5, 0.3], grad=True),
    }
    u0 = tensor([1.0, -0.5, 0.3], grad=True)
    prob = de.ODEProblem(pendulums, u0, (0.0, 2.0), p)
    sol = de.solve(prob, alg, saveat=[0.7, 1.4, 2.0], sensealg=sensealg, abstol=tol, reltol=tol)
    loss = (sol.u**2 * torch.arange(1, 10, dtype=torch.float64).reshape(3, 3)).sum()
    grads = torch.autograd.grad(loss, (u0, p["coupling"], p["friction"]))
    return torch.cat([g.reshape(-1) for g in grads])


def assert_agrees(alg, sensealg, tol):
    reference = gradients(de.Vern7(), de.ReverseDiffAdjoint(), 1e-13)
    # Two solves (forwards and backwards), each within ten tolerances of its exact solution, and a loss whose second
    # derivative (up to 9 x 2) multiplies them.
    assert relative(gradients(alg, sensealg, tol), reference) <= 2 * 10 * 18 * tol


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("alg", [de.DP5(), de.Vern7(), de.Rodas5P(), None], ids=repr)
def test_every_sensealg_gives_the_same_gradient(alg, sensealg):
    assert_agrees(alg, sensealg, 1e-9)


@pytest.mark.parametrize("tol", [1e-5, 1e-7, 1e-11], ids=str)
@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_gradient_error_follows_the_tolerance(sensealg, tol):
    assert_agrees(de.Tsit5(), sensealg, tol)
