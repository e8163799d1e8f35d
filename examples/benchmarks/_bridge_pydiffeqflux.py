"""This package's way to Julia: numbers and addresses, with the interpreter free meanwhile."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import _bridge as tasks
import torch
from _julia_sources import SOURCES
from _problems import Problem
from _pydiffeqflux import ode_problem
from _rows import Run
from _torch_systems import torch_system

import pydiffeqflux as de
from pydiffeqflux._engines.julia._arguments import address
from pydiffeqflux._engines.julia._bridge import Bridge, start
from pydiffeqflux._engines.julia._interrupts import deferred_interrupts

TORCH, IMPORT, JULIA, PACKAGES = "import torch", "import pydiffeqflux", "start of Julia", "loading its packages"

START_UP = f"""
import json, time
begin = time.perf_counter()
import torch
loaded = time.perf_counter()
import pydiffeqflux
imported = time.perf_counter()
from pydiffeqflux._engines.julia._bridge import start
parts = {{{TORCH!r}: loaded - begin, {IMPORT!r}: imported - loaded}}
parts |= {{{JULIA!r}: start().start_up.julia, {PACKAGES!r}: start().start_up.packages}}
print(json.dumps(parts))
"""

MODULE = """
module BridgeBenchmark

using PyDiffEqFlux: HANDLES, RightHandSide, release, wrap

null() = nothing

twice(x) = 2x

function twice_array(from, to, n)
    wrap(Float64, to, n) .= 2 .* wrap(Float64, from, n)
    return nothing
end

evaluate(rhs, u, du, n, count) = evaluate(HANDLES[rhs], wrap(Float64, u, n), wrap(Float64, du, n), count)

function evaluate(rhs::RightHandSide, u::Vector, du::Vector, count)
    for _ in 1:count
        rhs(du, u, rhs.p, 0.0)
    end
    return nothing
end

end"""


def measurements() -> Iterator[tasks.Measurement]:
    """All of them."""
    yield from tasks.start_up(START_UP, (TORCH, IMPORT, JULIA, PACKAGES))
    yield tasks.CALL, "nothing", lambda: tasks.repeated(lambda: _bridge().call("null"), 1000)
    yield tasks.CALL, "one number", lambda: _number()
    for what, size in tasks.ARRAYS.items():
        yield tasks.CALL, what, lambda size=size: _array(size)
    for group, problem in tasks.network_problems().items():
        yield group, "called back from Julia", lambda problem=problem: _evaluation(problem, compiled=False)
        yield group, "compiled to Julia", lambda problem=problem: _evaluation(problem, compiled=True)
    for saves in tasks.SAVES:
        yield tasks.lorenz_group(saves), "from Python", lambda saves=saves: _solve(saves)


@cache
def _bridge() -> Bridge:
    """A bridge to the functions above, of the kind that the julia engine has to its own."""
    started = start()
    juliacall: Any = started._juliacall
    return Bridge(juliacall, juliacall.Main.seval(MODULE), started.start_up)


def _number() -> Run:
    return tasks.repeated(lambda: _bridge().call("twice", 1.5), 1000, lambda y: y == 3.0)


def _array(size: int) -> Run:
    bridge, x = _bridge(), torch.ones(size, dtype=torch.float64)

    def body() -> torch.Tensor:
        y = torch.empty_like(x)
        bridge.call("twice_array", address(x), address(y), size)
        return y

    return tasks.doubled(body, size)


def _evaluation(problem: Problem, *, compiled: bool) -> Run:
    bridge, count = _bridge(), 100
    system = torch_system(problem, "float64", gradient=False)
    with torch.no_grad():
        # a solve makes the right-hand side in Julia
        sol = de.solve(ode_problem(problem, system), de.Tsit5(), engine="julia", compile=compiled, saveat=[tasks.T1])
        expected = system.f(system.u0, None)
    assert sol._raw is not None
    function, u, du = sol._raw.record.function, system.u0, torch.empty_like(system.u0)

    def body() -> torch.Tensor:
        with torch.no_grad(), deferred_interrupts() as interrupts:
            function.guard.interrupts = interrupts
            bridge.call("evaluate", function.handle.number, address(u), address(du), u.numel(), count)
            function.guard.interrupts = None
        return du

    return tasks.repeated(body, 1, lambda du: torch.allclose(du, expected), inside=count)


def _solve(saves: int) -> Run:
    u0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    p = torch.tensor([10.0, 28.0, 8 / 3], dtype=torch.float64)
    prob = de.ODEProblem(de.JuliaSource(SOURCES["lorenz"]), u0, (0.0, tasks.T1), p)
    times = tasks.save_times(saves).tolist()

    def body() -> torch.Tensor:
        with torch.no_grad():
            return de.solve(
                prob, de.Tsit5(), saveat=times, abstol=tasks.TOLERANCE.atol, reltol=tasks.TOLERANCE.rtol, engine="julia"
            ).u

    return tasks.repeated(body, 10, lambda us: us.shape == (saves, 3))
