"""A batch is solved and differentiated as its parts are, in every shape and dtype."""

import pytest
import torch
from both_engines import engines_adjoints_and, engines_and_adjoints, hopf, hopf_solution
from problems import METHODS, relative, tensor

import pydiffeqflux as de

pytestmark = pytest.mark.slow

ADJOINTS = engines_and_adjoints()
SPANS = [(-0.5, 0.5), (0.5, -0.5)]
# Fixed steps, the same for a batch and its parts: what is left is the order of rounding, in 10 steps there and back of
# some hundred operations each, and where Newton's iteration stops.
FIXED = {"dt": 0.1, "adaptive": False, "abstol": 1e-13, "reltol": 1e-13}
ROUNDING = {"rtol": 1e-11, "atol": 1e-12}


def start(shape):
    generator = torch.Generator().manual_seed(5)
    return 0.2 + 0.4 * torch.rand(shape, dtype=torch.float64, generator=generator)


def solve(f, u0, p, span, alg, **options):
    return de.solve(de.ODEProblem(f, u0, span, p), alg, **options).u


def logistic(u, p, t):
    """By element, with the solution of a formula; p is a number or one for each element."""
    return p * u * (1 - u) * (1 + t)


def logistic_solution(u0, p, t, t0):
    growth = torch.exp(p * (t + t * t / 2 - t0 - t0 * t0 / 2))
    return u0 * growth / (1 - u0 + u0 * growth)


# ---- by its parts


@pytest.mark.parametrize("shape", [(3, 2), (2, 1, 3, 2)], ids=str)
@pytest.mark.parametrize(("engine", "sensealg"), ADJOINTS, ids=repr)
def test_the_gradient_of_a_batch_is_that_of_its_parts(engine, sensealg, shape):
    span = SPANS[0]
    options = {"saveat": [-0.27, 0.5], "sensealg": sensealg, "engine": engine, **FIXED}
    u0, p = start(shape).requires_grad_(), tensor([0.6, 1.7], grad=True)
    # so that no two parts have the same cost
    w = torch.arange(2 * u0.numel(), dtype=torch.float64).reshape(2, *shape) / u0.numel()
    batch = solve(hopf, u0, p, span, de.RK4(), **options)
    found = torch.autograd.grad((w * batch**2).sum(), (u0, p))
    parts = [solve(hopf, row, p, span, de.RK4(), **options) for row in u0.reshape(-1, 2)]
    whole = torch.stack(parts, dim=1).reshape(2, *shape)
    expected = torch.autograd.grad((w * whole**2).sum(), (u0, p))
    assert torch.allclose(batch, whole, **ROUNDING)
    # GaussKronrodAdjoint refines until a tolerance of its own, 1e-7 a step, that of each of the parts
    bound = {"rtol": 0.0, "atol": 10 * 1e-7 * len(parts)} if sensealg == de.GaussKronrodAdjoint() else ROUNDING
    for g, h in zip(found, expected, strict=True):
        assert torch.allclose(g, h, **bound)


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_by_every_method_with_a_gradient_through_its_steps(alg):
    u0, p = start((2, 3)).requires_grad_(), tensor([0.6, 1.7, -0.4], grad=True)
    for sensealg in (de.ReverseDiffAdjoint(), de.ForwardDiffSensitivity()):
        options = {"saveat": [-0.27, 0.5], "sensealg": sensealg, "engine": "embedded", **FIXED}
        batch = solve(logistic, u0, p, SPANS[0], alg, **options)
        found = torch.autograd.grad((batch**2).sum(), (u0, p))
        parts = [[solve(logistic, x, q, SPANS[0], alg, **options) for x, q in zip(row, p, strict=True)] for row in u0]
        expected = torch.autograd.grad(sum((x**2).sum() for row in parts for x in row), (u0, p))
        assert torch.allclose(batch, torch.stack([torch.stack(row, dim=-1) for row in parts], dim=1), **ROUNDING)
        for g, h in zip(found, expected, strict=True):
            assert torch.allclose(g, h, **ROUNDING)


# ---- against a formula

SHAPES = [(), (1,), (1, 1, 1), (2, 1, 3, 1, 2)]


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_states_with_no_axes_and_with_many(engine, sensealg, span):
    tol = 1e-9
    for shape in SHAPES:
        u0, p = start(shape).requires_grad_(), tensor(0.7, grad=True)
        times = [span[0], 0.1, span[1]]
        options = {"abstol": tol, "reltol": tol, "sensealg": sensealg, "engine": engine}
        u = solve(logistic, u0, p, span, de.Tsit5(), saveat=times, **options)
        exact = torch.stack([logistic_solution(u0, p, t, span[0]) for t in times])
        assert u.shape == (3, *shape)
        assert float((u - exact).detach().abs().max()) <= 10 * tol * 2
        found = torch.autograd.grad((u**2).sum(), (u0, p))
        expected = torch.autograd.grad((exact**2).sum(), (u0, p))
        for g, h in zip(found, expected, strict=True):
            assert g.shape == h.shape
            # ten tolerances each way in every element at every time, and derivatives below 2 here
            assert float((g - h).abs().max()) <= 2 * 10 * tol * 2 * 3 * u0.numel()


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_single_precision(engine, sensealg, span):
    if (
        engine == "julia"
        and getattr(sensealg, "checkpointing", False)
        and not isinstance(sensealg, de.BacksolveAdjoint)
    ):
        pytest.skip("SciMLSensitivity cannot checkpoint float32 states")
    tol = 1e-5
    u0, p = start((3, 2)).float().requires_grad_(), torch.tensor([0.6, 1.7], requires_grad=True)
    times = [span[0], 0.125, span[1]]
    options = {"abstol": tol, "reltol": tol, "sensealg": sensealg, "engine": engine}
    u = solve(hopf, u0, p, span, de.Tsit5(), saveat=times, **options)
    exact = hopf_solution(u0.double(), p.double(), tensor(times), span[0])
    assert u.dtype == torch.float32
    found = torch.autograd.grad((u**2).sum(), (u0, p))
    expected = torch.autograd.grad((exact**2).sum(), (u0, p))
    assert relative(u.detach().double(), exact.detach()) <= 10 * tol
    for g, h in zip(found, expected, strict=True):
        assert g.dtype == torch.float32
        # ten tolerances each way, and three save points in the cost with a slope of 2
        assert float((g - h).abs().max()) <= 2 * 10 * tol * 3 * 2


@pytest.mark.filterwarnings("ignore::pydiffeqflux.JuliaWarning")  # complex states are called back
@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_complex_states(engine, sensealg, span):
    # The same bifurcation in one complex number, whose formula is in two real ones.
    def f(u, p, t):
        radius = u.real**2 + u.imag**2
        return (1 + torch.cos(t) / 2) * torch.complex(p[0] * (1 - radius), p[1].expand_as(radius)) * u

    tol = 1e-9
    parts, p = start((2, 3, 2)).requires_grad_(), tensor([0.6, 1.7], grad=True)
    u0 = torch.view_as_complex(parts)
    times = [span[0], 0.125, span[1]]
    options = {"abstol": tol, "reltol": tol, "sensealg": sensealg, "engine": engine}
    u = solve(f, u0, p, span, de.Tsit5(), saveat=times, **options)
    exact = hopf_solution(parts, p, tensor(times), span[0])
    assert u.dtype == torch.complex128
    assert float((torch.view_as_real(u) - exact).detach().abs().max()) <= 10 * tol * 2
    found = torch.autograd.grad((u.abs() ** 2).sum() + u[-1].imag.sum(), (parts, p))
    expected = torch.autograd.grad((exact**2).sum() + exact[-1, ..., 1].sum(), (parts, p))
    for g, h in zip(found, expected, strict=True):
        assert float((g - h).abs().max()) <= 2 * 10 * tol * 3 * 2 * 6
