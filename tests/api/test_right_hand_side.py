import traceback

import pytest
import torch
from problems import ADAPTIVE, METHODS, decay, tensor

import pydiffeqflux as de

U0 = tensor([1.0, 2.0])
ALGORITHMS = [de.Tsit5(), de.Rodas5P(), de.KenCarp4(), None]


def problem(f, p=None, u0=U0):
    return de.ODEProblem(f, u0, (0.0, 1.0), p)


def assert_next_solve_works():
    sol = de.solve(problem(decay), de.Tsit5(), abstol=1e-8, reltol=1e-8)
    assert torch.allclose(sol.u[-1], U0 * torch.exp(tensor(-1.0)), rtol=1e-7)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda u, p, t: u[:1], r"shape \(1,\).*u has shape \(2,\)"),
        (lambda u, p, t: u.sum(), r"shape \(\).*u has shape \(2,\)"),
        (lambda u, p, t: u.unsqueeze(0), r"shape \(1, 2\)"),
        (lambda u, p, t: u.float(), "float32.*float64"),
        (lambda u, p, t: u.to(torch.complex128), "complex128.*float64"),
        (lambda u, p, t: u.to("meta"), "on meta.*on cpu"),
        (lambda u, p, t: [1.0, 2.0], "f returned list; it must return a torch tensor"),
        (lambda u, p, t: None, "f returned NoneType"),
        (lambda u, p, t: u.detach().numpy(), "f returned ndarray"),
    ],
    ids=["shape", "scalar", "extra-axis", "float32", "complex", "device", "list", "none", "numpy"],
)
def test_output_that_is_no_derivative(alg, f, message, grad):
    with torch.set_grad_enabled(grad), pytest.raises(de.RightHandSideError, match=message):
        de.solve(problem(f), alg)
    assert_next_solve_works()


@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
def test_output_that_goes_wrong_later(alg):
    with pytest.raises(de.RightHandSideError, match=r"shape \(1,\)"):
        de.solve(problem(lambda u, p, t: -u if t < 0.5 else -u[:1]), alg)
    assert_next_solve_works()


@pytest.mark.parametrize("output", [lambda u: u.real, lambda u: u.to(torch.complex64)], ids=["real", "complex64"])
def test_wrong_dtype_for_a_complex_state(output):
    with pytest.raises(de.RightHandSideError, match=r"shape \(2,\).*complex128"):
        de.solve(problem(lambda u, p, t: output(u), u0=U0.to(torch.complex128)))


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("complex_state", [False, True], ids=["real", "complex"])
def test_f_that_mutates_u(grad, complex_state):
    def f(u, p, t):
        u *= -1
        return u

    u0 = U0.to(torch.complex128) if complex_state else U0.clone()
    with torch.set_grad_enabled(grad), pytest.raises(de.RightHandSideError, match="in place"):
        de.solve(problem(f, u0=u0))
    assert torch.equal(u0.real, U0)
    assert_next_solve_works()


@pytest.mark.parametrize("when", [0.0, 0.5])
@pytest.mark.parametrize("kind", [KeyError, ValueError, RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
def test_what_f_raises_is_not_touched(alg, kind, when):
    error = kind("from the model")

    def model_with_a_fault(u, p, t):
        if t >= when:
            raise error
        return -u

    with pytest.raises(kind) as caught:
        de.solve(problem(model_with_a_fault), alg)
    assert caught.value is error
    assert "model_with_a_fault" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert_next_solve_works()


@pytest.mark.parametrize(
    "sensealg", [de.ReverseDiffAdjoint(), de.GaussAdjoint(), de.InterpolatingAdjoint(checkpointing=True)], ids=repr
)
def test_what_f_raises_in_the_backward_pass_is_not_touched(sensealg):
    armed, calls = [], []

    def f(u, p, t):
        calls.append(t)  # so that it is called as it is
        if armed:
            raise KeyboardInterrupt
        return -p * u

    p = tensor(1.0, grad=True)
    sol = de.solve(problem(f, p), de.Tsit5(), sensealg=sensealg)
    armed.append(True)
    with pytest.raises(KeyboardInterrupt):
        sol.u.sum().backward(retain_graph=True)
    armed.clear()
    sol.u.sum().backward()
    assert p.grad is not None
    assert_next_solve_works()


def test_f_that_detaches_everything():
    p = tensor(1.0, grad=True)
    with pytest.raises(de.GradientError, match="connected to neither u nor any parameter"):
        de.solve(problem(lambda u, p, t: (-p * u).detach(), p))
    with torch.no_grad():
        assert de.solve(problem(lambda u, p, t: (-p * u).detach(), p)).retcode.success
    assert_next_solve_works()


def test_f_that_detaches_its_parameter():
    p = tensor(1.0, grad=True)
    with pytest.warns(de.GradientWarning, match="does not use 1 of the 1 tensors"):
        sol = de.solve(problem(lambda u, p, t: -p.detach() * u, p))
    sol.u.sum().backward()
    assert float(p.grad) == 0.0


def test_a_parameter_without_gradient_stays_without():
    p, u0 = tensor(1.0), U0.clone().requires_grad_()
    de.solve(problem(lambda u, p, t: -p * u, p, u0)).u.sum().backward()
    assert p.grad is None
    assert u0.grad is not None


def test_tensors_are_seen_as_documented():
    seen = {}

    def f(u, p, t):
        seen["u"], seen["t"], seen["p"] = (u.shape, u.dtype), (t.shape, t.dtype), p
        return -p["k"] * u

    de.solve(problem(f, {"k": 2, "m": [1.5, None]}), de.Tsit5())
    assert seen["u"] == (torch.Size([2]), torch.float64)
    assert seen["t"] == (torch.Size([]), torch.float64)
    assert seen["p"]["k"].dtype == torch.float64
    assert float(seen["p"]["m"][0]) == 1.5
    assert seen["p"]["m"][1] is None


@pytest.mark.parametrize("alg", [*METHODS, None], ids=repr)
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_nf_counts_every_call(alg, grad):
    calls = 0

    def f(u, p, t):
        nonlocal calls
        calls += 1
        return -u * u

    with torch.set_grad_enabled(grad):
        sol = de.solve(problem(f), alg, dt=0.01)
    assert sol.stats.nf == calls


@pytest.mark.parametrize("alg", ADAPTIVE, ids=repr)
def test_the_other_counters(alg):
    stats = de.solve(problem(lambda u, p, t: -50 * (u - torch.cos(t)), u0=tensor([1.0])), alg).stats
    assert stats.naccept > 0
    assert stats.nreject >= 0
    assert stats.nf >= stats.naccept
    if alg.is_stiff:
        assert 0 < stats.njac <= stats.naccept + 1
        assert stats.nw >= stats.njac
        assert stats.nsolve >= stats.naccept
    else:
        assert (stats.njac, stats.nw, stats.nsolve) == (0, 0, 0)
