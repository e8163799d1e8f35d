import pytest
import torch
from problems import CONTINUOUS, SENSEALGS, relative, tensor

import pydiffeqflux as de

TIGHT = {"abstol": 1e-10, "reltol": 1e-10}
BAR = 100 * 1e-10  # ten tolerances for each of the two solves, and a loss of slope up to 5
ALGORITHMS = [de.Tsit5(), de.Rodas5P(), pytest.param(de.KenCarp4(), marks=pytest.mark.slow)]
NOT_FORWARD = [s for s in SENSEALGS if not isinstance(s, de.ForwardDiffSensitivity)]


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_complex_state(alg, sensealg):
    u0 = torch.tensor([1.0 + 0.5j, -0.3 + 2.0j], requires_grad=True, dtype=torch.complex128)
    p = tensor([0.3, 2.0], grad=True)

    def f(u, p, t):
        return torch.complex(-p[0], p[1]) * u

    def loss(u):
        return (u.real**2 + 3 * u.imag * u.real).sum() + u.abs().sum()

    sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0), p), alg, saveat=[0.4, 1.0], sensealg=sensealg, **TIGHT)
    exact = torch.stack([u0 * torch.exp(torch.complex(-p[0], p[1]) * t) for t in (0.4, 1.0)])
    for mine, right in zip(
        torch.autograd.grad(loss(sol.u), (u0, p)), torch.autograd.grad(loss(exact), (u0, p)), strict=True
    ):
        assert mine.dtype == right.dtype
        assert relative(mine, right) < BAR


@pytest.mark.parametrize("sensealg", NOT_FORWARD, ids=repr)
def test_complex_parameter(sensealg):
    p = torch.tensor(-0.3 + 2.0j, dtype=torch.complex128, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: p * u, torch.ones(2, dtype=torch.complex128), (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), sensealg=sensealg, **TIGHT)
    (mine,) = torch.autograd.grad((sol.u[-1].real ** 2).sum(), p)
    (right,) = torch.autograd.grad(2 * torch.exp(p).real ** 2, p)
    assert relative(mine, right) < BAR


def batch(shape):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
@pytest.mark.parametrize("shape", [(2, 2, 2), (16,), (17,)], ids=str)
@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
def test_batched_states_on_both_sides_of_the_tape_limit(alg, shape, sensealg):
    # u' = -p u^2 has the solution u0 / (1 + p u0 t) in every element.
    u0, p = batch(shape).requires_grad_(), tensor(0.7, grad=True)
    tol = {"abstol": 1e-8, "reltol": 1e-8}
    prob = de.ODEProblem(lambda u, p, t: -p * u * u, u0, (0.0, 1.0), p)
    sol = de.solve(prob, alg, saveat=[0.3, 1.0], sensealg=sensealg, **tol)
    exact = torch.stack([u0 / (1 + p * u0 * t) for t in (0.3, 1.0)])
    weights = batch((2, *shape))
    mine = torch.autograd.grad((weights * sol.u).sum(), (u0, p))
    right = torch.autograd.grad((weights * exact).sum(), (u0, p))
    # Ten tolerances for each of the two solves in every element that the loss adds up.
    for g, h in zip(mine, right, strict=True):
        assert float((g - h).abs().max()) <= 2 * 10 * 1e-8 * float(weights.sum())


def branching(u, p, t):
    """A leaky bucket: vmap refuses the branch on a value."""
    if float(u.detach().sum()) > 1e9:
        return torch.zeros_like(u)
    return -p * u * u


@pytest.mark.parametrize("sensealg", NOT_FORWARD, ids=repr)
@pytest.mark.parametrize("size", [2, 17])
@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
def test_f_with_branches_on_values(alg, size, sensealg):
    u0, p = batch((size,)).requires_grad_(), tensor(0.7, grad=True)
    sol = de.solve(
        de.ODEProblem(branching, u0, (0.0, 1.0), p), alg, saveat=[0.3, 1.0], sensealg=sensealg, abstol=1e-8, reltol=1e-8
    )
    exact = torch.stack([u0 / (1 + p * u0 * t) for t in (0.3, 1.0)])
    mine = torch.autograd.grad((sol.u**2).sum(), (u0, p))
    right = torch.autograd.grad((exact**2).sum(), (u0, p))
    for g, h in zip(mine, right, strict=True):
        assert relative(g, h) < 100 * 1e-8


def test_forward_mode_refuses_branches_on_values():
    p = tensor(0.7, grad=True)
    sol = de.solve(de.ODEProblem(branching, batch((2,)), (0.0, 1.0), p), sensealg=de.ForwardDiffSensitivity())
    with pytest.raises(de.GradientError, match="vmap"):
        sol.u.sum().backward()


@pytest.mark.parametrize("sensealg", SENSEALGS, ids=repr)
def test_float32(sensealg):
    u0 = torch.tensor([0.5, 1.0], requires_grad=True)
    p = torch.tensor(0.7, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u * u, u0, (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), saveat=[0.3, 1.0], sensealg=sensealg, abstol=1e-5, reltol=1e-5)
    exact = torch.stack([u0 / (1 + p * u0 * t) for t in (0.3, 1.0)])
    mine = torch.autograd.grad(sol.u.sum(), (u0, p))
    right = torch.autograd.grad(exact.sum(), (u0, p))
    assert sol.u.dtype == torch.float32
    for g, h in zip(mine, right, strict=True):
        assert g.dtype == torch.float32
        assert relative(g, h) < 10 * 1e-5


@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
def test_scalar_state(sensealg):
    u0, p = tensor(0.5, grad=True), tensor(0.7, grad=True)
    sol = de.solve(de.ODEProblem(lambda u, p, t: -p * u * u, u0, (0.0, 1.0), p), sensealg=sensealg, **TIGHT)
    mine = torch.autograd.grad(sol.u[-1], (u0, p))
    right = torch.autograd.grad(u0 / (1 + p * u0), (u0, p))
    for g, h in zip(mine, right, strict=True):
        assert relative(g, h) < BAR
