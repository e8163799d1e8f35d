import math

import numpy as np
import pytest
import torch
from problems import METHODS, tensor

import pydiffeqflux as de


def rotation(u):
    return torch.stack([u[1], -u[0]])


def one_tensor():
    du = torch.zeros(2, dtype=torch.float64)

    def f(u, p, t):
        du[0], du[1] = u[1], -u[0]
        return du

    return f


def a_view_of_one_tensor():
    buffer = torch.zeros(2, 1, dtype=torch.float64)

    def f(u, p, t):
        buffer.copy_(rotation(u).reshape(2, 1))
        return buffer.reshape(2)

    return f


def an_array():
    buffer = np.zeros(2)

    def f(u, p, t):
        buffer[:] = rotation(u).detach().numpy()
        return torch.from_numpy(buffer)

    return f


def two_tensors_in_turn():
    buffers, calls = [torch.zeros(2, dtype=torch.float64) for _ in range(2)], [0]

    def f(u, p, t):
        calls[0] += 1
        return buffers[calls[0] % 2].copy_(rotation(u))

    return f


class Buffered(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("du", torch.zeros(2, dtype=torch.float64))

    def forward(self, u, p, t):
        torch.stack([u[1], -u[0]], out=self.du)
        return self.du


BUFFERS = [one_tensor, a_view_of_one_tensor, an_array, two_tensors_in_turn, Buffered]
EXPLICIT = [alg for alg in METHODS if not alg.is_stiff]


@pytest.mark.parametrize("alg", EXPLICIT, ids=repr)
@pytest.mark.parametrize("make", BUFFERS, ids=lambda make: make.__name__)
def test_the_solution_is_that_of_an_f_with_new_outputs(make, alg):
    options = {"dt": 0.1, "adaptive": False, "saveat": [0.05, 1.0]}
    with torch.no_grad():
        one, other = (
            de.solve(de.ODEProblem(f, tensor([1.0, 0.0]), (0.0, 1.0)), alg, **options)
            for f in (make(), lambda u, p, t: rotation(u))
        )
    assert torch.equal(one.u, other.u)


@pytest.mark.parametrize("alg", [de.Rodas5P(), de.KenCarp4(), de.RadauIIA5(), None], ids=repr)
def test_implicit_methods(alg):
    # In-place torch operations are differentiated; an array is not.
    with torch.no_grad():
        prob = de.ODEProblem(two_tensors_in_turn(), tensor([1.0, 0.0]), (0.0, 1.0))
        sol = de.solve(prob, alg, saveat=[1.0], abstol=1e-9, reltol=1e-9)
    assert torch.allclose(sol.u[-1], tensor([math.cos(1.0), -math.sin(1.0)]), rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("alg", METHODS, ids=repr)
@pytest.mark.parametrize("f", [lambda u, p, t: u, lambda u, p, t: u.view(2)], ids=["u", "view of u"])
def test_the_argument_itself(f, alg):
    options = {"dt": 0.1, "adaptive": False, "abstol": 1e-12, "reltol": 1e-12}
    with torch.no_grad():
        one, other = (
            de.solve(de.ODEProblem(g, tensor([1.0, 2.0]), (0.0, 1.0)), alg, **options)
            for g in (f, lambda u, p, t: 1.0 * u)
        )
    assert torch.equal(one.u, other.u)


@pytest.mark.parametrize("sensealg", [de.ReverseDiffAdjoint(), de.GaussAdjoint(), de.BacksolveAdjoint()], ids=repr)
def test_gradients_with_a_constant_output(sensealg):
    # the same tensor at every call, read only
    u0, p = tensor([1.0, 2.0], grad=True), tensor([0.5, -1.0], grad=True)
    prob = de.ODEProblem(lambda u, p, t: p, u0, (0.0, 2.0), p)
    sol = de.solve(prob, de.Tsit5(), saveat=[2.0], sensealg=sensealg, abstol=1e-10, reltol=1e-10)
    sol.u.sum().backward()
    assert torch.allclose(sol.u[-1], u0 + 2.0 * p, rtol=1e-12)
    assert torch.allclose(p.grad, tensor([2.0, 2.0]), rtol=1e-12)
    assert torch.allclose(u0.grad, tensor([1.0, 1.0]), rtol=1e-12)
