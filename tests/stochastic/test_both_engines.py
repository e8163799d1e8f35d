"""The julia engine on the noise of the embedded one: the same states and the same gradients."""

import math

import pytest
import torch
from noisy import ADDITIVE, ITO, STRATONOVICH, exact, geometric

import pydiffeqflux as de

pytestmark = pytest.mark.julia

METHODS = [alg for alg in (*ITO, *STRATONOVICH, *ADDITIVE) if not isinstance(alg, de.ReversibleHeun)]
WITH_GRADIENT = [alg for alg in METHODS if not isinstance(alg, de.ImplicitEM)]
NOISES = {
    "diagonal": lambda u, p, t: p[1] * torch.cos(u) + 0.2 * t,
    "scalar": lambda u, p, t: (p[1] * torch.cos(u)).unsqueeze(-1),
    "general": lambda u, p, t: torch.stack([p[1] * torch.cos(u), 0.3 * u, 0.1 * u * t], -1),
    "additive": lambda u, p, t: p[1] * (1 + t) * torch.ones_like(u),
    "additive, general": lambda u, p, t: p[1] * (1 + t) * torch.ones(*u.shape, 2, dtype=u.dtype),
}
SHAPES = [(), (3,), (4, 3)]


def drift(u, p, t):
    return p[0] * torch.sin(u) - 0.3 * u * t


def problem(noise, shape, dtype=torch.float64, tspan=(0.0, 1.0)):
    u0 = torch.linspace(0.1, 1.0, math.prod(shape), dtype=dtype).reshape(shape).requires_grad_()
    p = torch.tensor([0.7, 0.4], dtype=dtype, requires_grad=True)
    return de.SDEProblem(drift, NOISES[noise], u0, tspan, p, seed=5)


def takes(alg, noise):
    if alg.additive:
        return noise.startswith("additive")
    return "general" not in noise or "general" in {kind.value for kind in alg.kinds}


def solved(prob, alg, engine, **options):
    options = {"dt": 0.1, "adaptive": False, "saveat": [0.33, 1.0], "engine": engine} | options
    return de.solve(prob, alg, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_the_same_path_gives_the_same_states(alg, noise, shape):
    prob = problem(noise, shape)
    if not takes(alg, noise):
        with pytest.raises(de.UnsupportedError, match="is for"):
            solved(prob, alg, "julia")
        return
    with torch.no_grad():
        here, there = (solved(prob, alg, engine) for engine in ("embedded", "julia"))
    # Newton's iteration ends in Julia where the tolerance says so
    rtol = 1e-4 if isinstance(alg, de.ImplicitEM) else 1e-12
    assert torch.allclose(here.u, there.u, rtol=rtol, atol=0.0)
    assert there.t.tolist() == here.t.tolist()


@pytest.mark.parametrize("compiled", [None, False], ids=["compiled", "called back"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("alg", WITH_GRADIENT, ids=repr)
def test_gradients_are_those_of_the_embedded_engine(alg, noise, compiled):
    if not takes(alg, noise):
        return
    gradients = []
    for engine, options in (("embedded", {}), ("julia", {"compile": compiled})):
        prob = problem(noise, (2, 3))
        sol = solved(prob, alg, engine, **options)
        gradients.append(torch.autograd.grad((sol.u**2).sum(), [prob.u0, prob.p]))
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("alg", [de.EM(), de.EulerHeun(), de.SOSRI()], ids=repr)
def test_a_path_whose_cells_are_not_the_steps(alg):
    prob = problem("diagonal", (2, 3))
    path = de.BrownianPath((0.0, 1.0), (2, 3), seed=8, dt=0.04)
    prob = de.remake(prob, noise=path, seed=None)
    here, there = (solved(prob, alg, engine) for engine in ("embedded", "julia"))
    assert torch.allclose(here.u, there.u, rtol=1e-12)
    given = de.BrownianPath.from_values([0.0, 0.5, 1.0], torch.randn(3, 2, 3, dtype=torch.float64))
    prob = de.remake(prob, noise=given)
    here, there = (solved(prob, alg, engine, dt=0.5, saveat=[1.0]) for engine in ("embedded", "julia"))
    assert torch.allclose(here.u, there.u, rtol=1e-12)


def test_stratonovich_runs_backwards():
    prob = problem("diagonal", (2, 3), tspan=(1.0, 0.0))
    gradients = []
    for engine in ("embedded", "julia"):
        sol = solved(prob, de.EulerHeun(), engine, saveat=[0.4, 0.0])
        gradients.append((sol.u.detach(), *torch.autograd.grad(sol.u.sum(), [prob.u0, prob.p])))
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-11)


def test_single_precision():
    gradients = []
    for engine in ("embedded", "julia"):
        prob = problem("general", (2, 3), torch.float32)
        sol = solved(prob, de.EM(), engine)
        gradients.append((sol.u.detach(), *torch.autograd.grad(sol.u.sum(), [prob.u0, prob.p])))
        assert sol.u.dtype == torch.float32
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("alg", [de.LambaEM(), de.RKMil(), de.SOSRI(), de.SRIW1(), None], ids=repr)
def test_adaptive_steps_follow_the_path(alg):
    """The error against the exact solution on the same path falls with the tolerance."""
    errors = []
    for tol in (1e-1, 1e-3):
        sol = de.solve(geometric(200), alg, engine="julia", abstol=tol, reltol=tol, saveat=[1.0])
        assert sol.retcode == de.ReturnCode.Success
        errors.append((sol.u[-1] - exact(de.EM(), sol.noise(1.0))).square().mean().sqrt().item())
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.1


def test_adaptive_steps_have_a_gradient():
    """That of the solution on its path: geometric Brownian motion is proportional to its start."""
    prob = geometric(50)
    u0 = prob.u0.clone().requires_grad_()
    sol = de.solve(de.remake(prob, u0=u0), de.SOSRI(), engine="julia", saveat=[1.0])
    (gradient,) = torch.autograd.grad(sol.u.sum(), u0)
    assert torch.allclose(gradient, sol.u[-1].detach() / u0.detach(), rtol=1e-10)


def test_a_seed_reproduces_a_solution_bit_by_bit():
    first, second = (de.solve(geometric(5, seed=None), de.SOSRI(), engine="julia", seed=4, saveat=0.1) for _ in "ab")
    assert torch.equal(first.u, second.u)


def test_statistics_and_dense_output():
    sol = de.solve(geometric(3), de.EM(), engine="julia", dt=0.1)
    assert sol.stats.naccept == 10
    assert (sol.stats.nf, sol.stats.nf2) == (10, 10)
    assert torch.allclose(sol(0.15), (sol.u[1] + sol.u[2]) / 2)
    with pytest.raises(de.InvalidOptionError, match="no time derivative"):
        sol(0.15, derivative=1)


def test_without_noise_it_is_the_method_for_ordinary_equations():
    prob = de.SDEProblem(drift, lambda u, p, t: 0 * u, torch.ones(3), (0.0, 1.0), torch.tensor([0.7, 0.4]), seed=1)
    ordinary = de.ODEProblem(drift, torch.ones(3), (0.0, 1.0), torch.tensor([0.7, 0.4]))
    noisy, plain = (de.solve(*x, engine="julia", dt=0.1) for x in ((prob, de.EM()), (ordinary, de.Euler())))
    assert torch.allclose(noisy.u, plain.u, rtol=1e-6)


def test_methods_of_julia_by_name():
    alg = de.JuliaAlgorithm("LambaEulerHeun", package="StochasticDiffEq")
    with torch.no_grad():
        sol = de.solve(geometric(50), alg, engine="julia", abstol=1e-3, reltol=1e-3, saveat=[1.0])
    assert (sol.u[-1] - exact(de.EulerHeun(), sol.noise(1.0))).abs().max() < 0.2


def test_modules_and_captured_tensors_get_gradients():
    torch.manual_seed(0)
    f, scale = torch.nn.Linear(2, 2).double(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    gradients = []
    for engine in ("embedded", "julia"):
        prob = de.SDEProblem(
            lambda u, p, t: f(u), lambda u, p, t: scale * u, torch.ones(2, dtype=torch.float64), (0.0, 1.0), seed=1
        )
        loss = de.solve(prob, de.EM(), engine=engine, dt=0.1).u.sum()
        gradients.append(torch.autograd.grad(loss, [scale, *f.parameters()]))
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-11)


def test_an_exception_of_the_diffusion_arrives():
    class StrangeError(Exception):
        pass

    def g(u, p, t):
        if t > 0.5:
            raise StrangeError
        return 0.1 * u

    prob = de.SDEProblem(lambda u, p, t: -u, g, torch.ones(2, dtype=torch.float64), (0.0, 1.0), seed=1)
    with torch.no_grad(), pytest.raises(StrangeError):
        de.solve(prob, de.EM(), engine="julia", compile=False, dt=0.1)


@pytest.mark.parametrize(
    ("alg", "options", "words"),
    [
        (de.EM(), {"sensealg": de.BacksolveAdjoint()}, "it has ReverseDiffAdjoint()"),
        (de.EM(), {"sensealg": de.ReverseDiffAdjoint(checkpointing=True)}, "embedded engine"),
        (de.ImplicitEM(), {}, "cannot repeat the steps of ImplicitEM"),
        (de.SOSRI(), {"controller": de.PIController()}, "no controller"),
        (de.ReversibleHeun(), {}, "use engine='embedded'"),
    ],
    ids=str,
)
def test_what_it_does_not_have_is_refused(alg, options, words):
    with pytest.raises(de.UnsupportedError, match=words.replace("(", r"\(").replace(")", r"\)")):
        de.solve(problem("diagonal", (3,)), alg, engine="julia", dt=0.1, **options)


def test_steps_that_the_path_does_not_resolve_are_refused():
    path = de.BrownianPath((0.0, 1.0), (3,), seed=1, dt=0.1)
    prob = de.remake(problem("diagonal", (3,)), noise=path, seed=None)
    with pytest.raises(de.InvalidOptionError, match="make it with dt=1e-08"):
        de.solve(prob, de.EM(), engine="julia", dt=1e-8)
    u0 = torch.ones(3, dtype=torch.float64)
    rough = de.SDEProblem(lambda u, p, t: u, lambda u, p, t: 1e9 * u, u0, (0.0, 1.0), seed=1)
    with torch.no_grad(), pytest.warns(de.SolveWarning, match="DtLessThanMin"):
        de.solve(rough, de.SOSRI(), engine="julia", abstol=1e-12, reltol=1e-12, throw=False)
