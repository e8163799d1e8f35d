"""Failures of the user's code on the julia engine: one sentence, a remedy, and an engine that stays usable."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import pytest
import torch
from problems import decay, lorenz, tensor
from sources import SOURCES

import pydiffeqflux as de

pytestmark = pytest.mark.julia
ONE = tensor([1.0])
SPAN = (0.0, 1.0)
CALLED = {"engine": "julia", "compile": False}


@pytest.fixture(autouse=True)
def _still_usable():
    yield
    sol = de.solve(de.ODEProblem(decay, ONE, SPAN), de.Tsit5(), saveat=[1.0], abstol=1e-8, reltol=1e-8, **CALLED)
    assert abs(sol.u[-1].item() - 0.36787944117) < 1e-7


def raises_after(count, error):
    """A right-hand side that raises at a later call, so that Julia is in the middle of a solve."""
    calls = []

    def f(u, p, t):
        calls.append(1)
        if len(calls) > count:
            raise error
        return -u

    return f


def assert_raised_in_f(caught, error):
    assert caught.value is error
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "f"


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_the_users_own_exception_from_a_solve(alg):
    error = ZeroDivisionError("in the middle")
    with pytest.raises(ZeroDivisionError) as caught:
        de.solve(de.ODEProblem(raises_after(5, error), ONE, SPAN), alg, dt=0.1, adaptive=False, **CALLED)
    assert_raised_in_f(caught, error)


@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.BacksolveAdjoint()], ids=repr)
def test_the_users_own_exception_from_backward(sensealg):
    error = ZeroDivisionError("in the middle")
    failing = []

    @torch.compiler.disable  # what has been traced would not be called again
    def f(u, p, t):
        if failing:
            raise error
        return -p * u

    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(f, ONE, SPAN, p)
    options = {"saveat": [1.0], "abstol": 1e-9, "reltol": 1e-9, "sensealg": sensealg, **CALLED}
    sol = de.solve(prob, de.Tsit5(), **options)
    failing.append(True)
    with pytest.raises(ZeroDivisionError) as caught:
        sol.u.sum().backward()
    assert_raised_in_f(caught, error)
    assert p.grad is None
    failing.clear()
    de.solve(prob, de.Tsit5(), **options).u.sum().backward()
    assert abs(p.grad.item() + 0.36787944117) < 1e-7


def test_what_f_returns_is_checked_at_every_call():
    def f(u, p, t):
        return -u if t < 0.5 else -u[:1]

    with pytest.raises(de.RightHandSideError, match=r"shape \(1,\)"):
        de.solve(de.ODEProblem(f, tensor([1.0, 2.0]), SPAN), de.Tsit5(), **CALLED)


# ---- Ctrl-C


def interrupted(solve):
    """How long it took from Ctrl-C to KeyboardInterrupt."""
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.5, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            solve()
        return time.perf_counter() - sent[0]
    finally:
        timer.cancel()
        timer.join()
        assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("kind", ["source", "callback"])
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_ctrl_c_ends_a_long_solve_within_a_second(alg, kind):
    f, options = (SOURCES["lorenz"], {"engine": "julia"}) if kind == "source" else (lorenz, CALLED)
    prob = de.ODEProblem(f, tensor([1.0, 0.0, 0.0]), (0.0, 1e7), tensor([10.0, 28.0, 8 / 3]))
    de.solve(de.remake(prob, tspan=(0.0, 0.1)), alg, save_everystep=False, **options)  # compiles
    long = {"save_everystep": False, "maxiters": 10**9, **options}
    assert interrupted(lambda: de.solve(prob, alg, **long)) < 1.0


def test_ctrl_c_ends_a_long_backward_pass():
    p = tensor([10.0, 28.0, 8 / 3], grad=True)
    slow = []

    @torch.compiler.disable
    def f(u, p, t):
        if slow:
            time.sleep(0.01)
        return lorenz(u, p, t)

    sol = de.solve(de.ODEProblem(f, tensor([1.0, 0.0, 0.0]), (0.0, 20.0), p), de.Tsit5(), saveat=[20.0], **CALLED)
    slow.append(True)
    assert interrupted(lambda: sol.u.sum().backward()) < 1.0
    assert p.grad is None


def test_a_keyboard_interrupt_that_f_raises():
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        de.solve(de.ODEProblem(raises_after(5, error), ONE, SPAN), de.Tsit5(), **CALLED)
    assert_raised_in_f(caught, error)


# ---- Julia code


def julia_error(code, match, alg=None, kind=de.JuliaError, *, u0=ONE, p=None, sensealg=None):
    prob = de.ODEProblem(de.JuliaSource(code), u0, SPAN, p)

    def solve_and_differentiate():
        de.solve(prob, alg or de.Tsit5(), sensealg=sensealg, engine="julia").u.sum().backward()

    with pytest.raises(kind, match=match) as caught:
        solve_and_differentiate()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    if kind is de.JuliaError:
        assert caught.value.julia_type
        assert caught.value.julia_message
        assert "Stacktrace" in caught.value.julia_backtrace
    # the user sees one error, not the chain of those that it was made from
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def test_a_syntax_error():
    julia_error("function f(du, u, p, t", "JuliaSource.*Correct the code")


def test_an_error_while_the_code_is_evaluated():
    julia_error("f = no_such_thing", "JuliaSource.*no_such_thing")


def test_a_source_that_is_no_right_hand_side():
    julia_error("1 + 1", "evaluates to a Int64, not to a function.*Write a function", kind=de.InvalidProblemError)
    julia_error("u -> u", "takes neither", kind=de.InvalidProblemError)


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_an_undefined_variable(alg):
    error = julia_error("(u, p, t) -> no_such_name .* u", "no_such_name.*(Check|Correct) the code", alg)
    assert error.julia_type == "UndefVarError"


def test_an_index_that_is_out_of_bounds():
    julia_error("(du, u, p, t) -> (du[1] = u[2]; nothing)", "BoundsError.*Check the code")


def test_a_derivative_of_another_shape():
    julia_error("(u, p, t) -> [u[1], u[1]]", "BoundsError|DimensionMismatch|ArgumentError")


def test_an_exception_of_the_source():
    assert julia_error('(u, p, t) -> error("from the user")', "from the user").julia_type == "ErrorException"


def test_parameters_that_are_not_there():
    julia_error("(u, p, t) -> -p.rate .* u", "rate", p={"speed": 1.0})


def test_code_for_one_number_type_can_be_solved_but_not_differentiated():
    code = "(du::Vector{Float64}, u::Vector{Float64}, p, t) -> (du .= -p[1] .* u; nothing)"
    p = tensor([1.0])
    prob = de.ODEProblem(de.JuliaSource(code), ONE, SPAN, p)
    sol = de.solve(prob, de.Tsit5(), saveat=[1.0], abstol=1e-9, reltol=1e-9, engine="julia")
    assert abs(sol.u[-1].item() - 0.36787944117) < 1e-7
    julia_error(code, "number types open", p=p.clone().requires_grad_())
    julia_error(code, "number types open", de.Rodas5P(), p=p)


@pytest.mark.parametrize("sensealg", [None, de.ForwardDiffSensitivity(), de.InterpolatingAdjoint(autojacvec=True)])
def test_code_that_keeps_floats_cannot_be_differentiated(sensealg):
    code = "(du, u, p, t) -> (x = zeros(1); x[1] = u[1]; du[1] = -x[1]; nothing)"
    julia_error(code, "number types open", u0=ONE.clone().requires_grad_(), sensealg=sensealg)


def test_code_that_keeps_floats_and_a_stiff_method():
    code = "(du, u, p, t) -> (x = zeros(1); x[1] = u[1]; du[1] = -x[1]; nothing)"
    julia_error(code, "number types open", de.Rodas5P())
    finite = de.JuliaAlgorithm("Rodas5P", autodiff=de.JuliaAlgorithm("AutoFiniteDiff", package="ADTypes"))
    assert de.solve(de.ODEProblem(de.JuliaSource(code), ONE, SPAN), finite, engine="julia").retcode.success


def test_an_inconsistent_initial_state():
    source = de.JuliaSource("(du, u, p, t) -> (du[1] = -u[1]; du[2] = u[1] - u[2]; nothing)")
    prob = de.ODEProblem(source, tensor([1.0, 5.0]), SPAN, mass_matrix=torch.diag(tensor([1.0, 0.0])))
    with pytest.raises(de.InvalidProblemError, match="consistent u0") as caught:
        de.solve(prob, de.Rodas5P(), engine="julia")
    assert "\n" not in str(caught.value)
    assert de.solve(de.remake(prob, u0=tensor([1.0, 1.0])), de.Rodas5P(), engine="julia").retcode.success


def test_unknown_packages_and_names():
    for alg, words in (
        (de.JuliaAlgorithm("Tsit5", package="NoSuchPackage"), "not in the project; add it"),
        (de.JuliaAlgorithm("Tsit6", package="OrdinaryDiffEqTsit5"), "nothing named Tsit6"),
        (de.JuliaAlgorithm("Tsit6"), "name the package"),
    ):
        julia_error("(u, p, t) -> -u", words, alg, kind=de.UnsupportedError)


def test_a_linear_solver_of_a_package_that_another_one_brought():
    krylov = de.JuliaAlgorithm("KrylovJL_GMRES", package="LinearSolve")
    alg = de.JuliaAlgorithm("KenCarp4", linsolve=krylov)
    sol = de.solve(de.ODEProblem(decay, ONE, SPAN), alg, saveat=[1.0], abstol=1e-8, reltol=1e-8, **CALLED)
    # 1e-8 each step, the estimate being that of order 3
    assert abs(sol.u[-1].item() - 0.36787944117) < 1e-6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_is_told_that_it_cannot_go_on():
    script = """
        import os, torch
        import pydiffeqflux as de

        prob = de.ODEProblem(de.JuliaSource("(u, p, t) -> -u"), torch.ones(1), (0.0, 1.0))
        de.solve(prob, de.Tsit5(), engine="julia")
        child = os.fork()
        if child == 0:
            try:
                de.solve(prob, de.Tsit5(), engine="julia")
            except de.EngineUnavailableError as error:
                os._exit(17 if "spawn" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        assert de.solve(prob, de.Tsit5(), engine="julia").retcode.success
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
