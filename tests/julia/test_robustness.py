"""Errors, interrupts, threads, memory, and what is shared without a copy."""

import ctypes
import gc
import os
import signal
import threading
import time
import traceback

import pytest
import torch
from problems import decay, lorenz, reference, relative, tensor
from sources import KINDS, SOURCES, problem

import pydiffeqflux as de
from pydiffeqflux._engines.julia._arguments import AdjointArguments, CallbackArguments, SolveArguments, SolveResult
from pydiffeqflux._engines.julia._bridge import start

pytestmark = [pytest.mark.julia, pytest.mark.slow]
OPTIONS = {"abstol": 1e-8, "reltol": 1e-8, "engine": "julia"}
LORENZ = (tensor([1.0, 0.0, 0.0]), (0.0, 1.0), tensor([10.0, 28.0, 8 / 3]))


def works():
    sol = de.solve(de.ODEProblem(decay, tensor([1.0]), (0.0, 1.0)), de.Tsit5(), saveat=[1.0], **OPTIONS)
    return abs(sol.u[-1].item() - 0.36787944117) < 1e-6


@pytest.mark.parametrize("struct", [CallbackArguments, SolveArguments, SolveResult, AdjointArguments])
def test_the_structs_are_the_same_on_both_sides(struct):
    bridge = start()
    fields = bridge._module.seval(f"join(fieldnames({struct.__name__}), ',')")
    assert str(fields).split(",") == [name for name, _ in struct._fields_]
    assert int(bridge._module.seval(f"sizeof({struct.__name__})")) == ctypes.sizeof(struct)


# ---- errors


def test_an_exception_of_f_is_the_users_own():
    class OwnError(Exception):
        pass

    def f(u, p, t):
        if t > 0.5:
            raise OwnError("here")
        return -u

    with pytest.raises(OwnError, match="here") as caught:
        de.solve(de.ODEProblem(f, tensor([1.0]), (0.0, 1.0)), de.Tsit5(), compile=False, **OPTIONS)
    assert any(frame.name == "f" for frame in traceback.extract_tb(caught.value.__traceback__))
    assert works()


def test_a_wrong_shape_is_refused():
    prob = de.ODEProblem(lambda u, p, t: u[:1], tensor([1.0, 2.0]), (0.0, 1.0))
    with pytest.raises(de.RightHandSideError, match="shape"):
        de.solve(prob, de.Tsit5(), compile=False, **OPTIONS)
    assert works()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("function f(du, u, p, t", de.JuliaError, "JuliaSource"),
        ("1 + 1", de.InvalidProblemError, "not to a function"),
        ("u -> u", de.InvalidProblemError, "neither"),
        ("(u, p, t) -> no_such_name .* u", de.JuliaError, "no_such_name"),
        ('(u, p, t) -> error("from the user")', de.JuliaError, "from the user"),
    ],
)
def test_errors_in_a_source(code, kind, words):
    prob = de.ODEProblem(de.JuliaSource(code), tensor([1.0]), (0.0, 1.0))
    with pytest.raises(kind, match=words) as caught:
        de.solve(prob, de.Tsit5(), **OPTIONS)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, de.JuliaError):
        assert caught.value.julia_type
        assert caught.value.julia_message
        assert caught.value.julia_backtrace
    assert works()


def test_return_codes():
    prob = de.ODEProblem(SOURCES["lorenz"], *LORENZ)
    assert (
        de.solve(prob, de.Tsit5(), maxiters=5, throw=False, verbose=False, **OPTIONS).retcode is de.ReturnCode.MaxIters
    )
    blow_up = de.ODEProblem(de.JuliaSource("(u, p, t) -> u .^ 2"), tensor([1.0]), (0.0, 2.0))
    with pytest.warns(de.SolveWarning, match="remedy|singularity|infinite"):
        sol = de.solve(blow_up, de.Tsit5(), **OPTIONS, throw=False)
    assert sol.retcode in (de.ReturnCode.DtLessThanMin, de.ReturnCode.Unstable, de.ReturnCode.MaxIters)


def test_what_cannot_be_compiled_is_called_back_with_a_warning():
    def f(u, p, t):
        return -u if u.sum() > 0 else u

    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="depends on values"):
        sol = de.solve(prob, de.Tsit5(), saveat=[1.0], **OPTIONS)
    assert abs(sol.u[-1].item() - 0.36787944117) < 1e-6
    with pytest.raises(de.UnsupportedError, match="depends on values"):
        de.solve(prob, de.Tsit5(), compile=True, **OPTIONS)


# ---- interrupts


def interrupt_after(seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c(kind):
    f = SOURCES["lorenz"] if kind == "source" else lorenz
    prob = de.ODEProblem(f, LORENZ[0], (0.0, 1e7), LORENZ[2])
    short = de.remake(prob, tspan=(0.0, 0.1))
    de.solve(short, de.Tsit5(), saveat=[0.1], **OPTIONS, **KINDS[kind])  # compiled before the clock starts
    handler = signal.getsignal(signal.SIGINT)
    timer = interrupt_after(0.5)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        de.solve(prob, de.Tsit5(), saveat=[1e7], maxiters=10**9, **OPTIONS, **KINDS[kind])
    timer.join()
    assert time.perf_counter() - began < 10  # not a matter of speed: the solve would take minutes
    assert signal.getsignal(signal.SIGINT) is handler
    assert works()


# ---- threads and memory


def test_threads_take_turns():
    ref = reference("lotka_volterra")
    failures = []

    def run(kind):
        try:
            for _ in range(5):
                prob, _, p = problem(ref, kind, grad=True)
                sol = de.solve(prob, de.Tsit5(), saveat=ref.t, sensealg=de.GaussAdjoint(), **OPTIONS, **KINDS[kind])
                ((1 - sol.u) ** 2).sum().div(2).backward()
                assert relative(p.grad, ref.grad_p) < 1e-4
                start().call("handle_count")
        except BaseException as error:  # a thread must not lose it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in (*KINDS, *KINDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def test_a_solve_inside_f():
    inner = de.ODEProblem(decay, tensor([1.0]), (0.0, 1.0))

    def f(u, p, t):
        return -u * de.solve(inner, de.Tsit5(), saveat=[1.0], **OPTIONS).u[-1]

    sol = de.solve(de.ODEProblem(f, tensor([1.0]), (0.0, 1.0)), de.Tsit5(), saveat=[1.0], compile=False, **OPTIONS)
    assert abs(sol.u[-1].item() - 0.6922006) < 1e-5  # exp(-exp(-1))


def kept():
    """How many objects Julia keeps, after both collectors have run."""
    gc.collect()
    start()._module.seval("GC.gc()")
    return start().call("handle_count")


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc to read the memory of the process")
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_solves_need_no_more_memory(kind):
    ref = reference("lotka_volterra")
    repeats = 1000 if kind != "callback" else 100

    def once():
        prob, _, _ = problem(ref, kind, grad=True)
        sol = de.solve(prob, de.Tsit5(), saveat=[1.0], sensealg=de.GaussAdjoint(), engine="julia", **KINDS[kind])
        sol.u.sum().backward()

    for _ in range(100):
        once()
    handles, before = kept(), resident()
    for _ in range(repeats):
        once()
    assert kept() <= handles
    # a leak of the states alone would be 16 bytes a step; Julia's collector keeps some pages that it has had
    assert resident() - before < 60e6


# ---- nothing is copied that need not be


def test_the_solution_is_julias_memory():
    sol = de.solve(de.ODEProblem(SOURCES["lorenz"], *LORENZ), de.Tsit5(), saveat=0.1, **OPTIONS)
    record = sol._raw.record.solution.number
    module = start()._module
    assert sol.u.data_ptr() == int(module.seval(f"Int(pointer(HANDLES[{record}].states))"))
    value = sol.u.clone()
    states = sol.u
    del sol
    module.seval("GC.gc()")
    works()
    assert torch.equal(states, value)  # the tensor keeps the memory


def test_parameters_of_a_source_are_used_in_place():
    u0, tspan, p = LORENZ
    sol = de.solve(de.ODEProblem(SOURCES["lorenz"], u0, tspan, p), de.Tsit5(), saveat=0.1, **OPTIONS)
    rhs = sol._raw.record.function.handle.number
    assert int(start()._module.seval(f"Int(pointer(HANDLES[{rhs}].p))")) == p.data_ptr()
