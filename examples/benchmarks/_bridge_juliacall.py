"""juliacall as it comes, with its own conversions."""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import _bridge as tasks
import numpy as np
import torch
from _julia_sources import SOURCES
from _problems import Problem
from _rows import Run
from _torch_systems import torch_system

IMPORT, PACKAGE = "import juliacall, which starts Julia", "using OrdinaryDiffEq"

START_UP = f"""
import json, time
begin = time.perf_counter()
import juliacall
imported = time.perf_counter()
juliacall.Main.seval("using OrdinaryDiffEq")
parts = {{{IMPORT!r}: imported - begin, {PACKAGE!r}: time.perf_counter() - imported}}
print(json.dumps(parts))
"""

EVALUATIONS = """
function (f, u, count)
    du = similar(u)
    for _ in 1:count
        f(du, u, nothing, 0.0)
    end
    return du
end"""


def measurements() -> Iterator[tasks.Measurement]:
    """All of them."""
    yield from tasks.start_up(START_UP, (IMPORT, PACKAGE))
    yield tasks.CALL, "nothing", lambda: tasks.repeated(_main().seval("() -> nothing"), 1000)
    yield tasks.CALL, "one number", lambda: _number()
    for what, size in tasks.ARRAYS.items():
        yield tasks.CALL, what, lambda size=size: _array(size)
    for group, problem in tasks.network_problems().items():
        yield group, "called back from Julia", lambda problem=problem: _evaluation(problem)
    for saves in tasks.SAVES:
        yield tasks.lorenz_group(saves), "in Julia", lambda saves=saves: _solve_in_julia(saves)
        yield tasks.lorenz_group(saves), "from Python", lambda saves=saves: _solve(saves)


@cache
def _main() -> Any:
    main = importlib.import_module("juliacall").Main
    main.seval("using OrdinaryDiffEq")
    return main


def _vector(values: Any) -> Any:
    """A vector in Julia."""
    return _main().seval("x -> Vector{Float64}(x)")(values)


def _number() -> Run:
    twice = _main().seval("x -> 2x")
    return tasks.repeated(lambda: twice(1.5), 1000, lambda y: y == 3.0)


def _array(size: int) -> Run:
    twice, x = _main().seval("x -> 2 .* x"), np.ones(size)
    return tasks.doubled(lambda: np.asarray(twice(x)), size)


def _evaluation(problem: Problem) -> Run:
    system, count = torch_system(problem, "float64", gradient=False), 100

    def f(du: Any, u: Any, p: Any, t: float) -> None:
        k = system.f(torch.from_numpy(np.asarray(u)).view(system.u0.shape), None)
        np.asarray(du)[:] = k.numpy().reshape(-1)

    evaluations, start = _main().seval(EVALUATIONS), _vector(problem.u0.reshape(-1))
    with torch.no_grad():
        expected = system.f(system.u0, None).numpy().reshape(-1)
    body = torch.no_grad()(lambda: evaluations(f, start, count))
    return tasks.repeated(body, 1, lambda du: np.allclose(np.asarray(du), expected), inside=count)


def _problem() -> Any:
    main = _main()
    u0, p = _vector([1.0, 0.0, 0.0]), _vector([10.0, 28.0, 8 / 3])
    return main.ODEProblem(main.seval(SOURCES["lorenz"]), u0, (0.0, tasks.T1), p)


def _solve(saves: int) -> Run:
    main, problem, times = _main(), _problem(), _vector(tasks.save_times(saves))
    options = {"save_start": False, "abstol": tasks.TOLERANCE.atol, "reltol": tasks.TOLERANCE.rtol}

    def body() -> Any:
        return main.stack(main.solve(problem, main.Tsit5(), saveat=times, **options).u).to_numpy()

    return tasks.repeated(body, 10, lambda us: us.shape == (3, saves))


def _solve_in_julia(saves: int) -> Run:
    count = 10
    code = """
    function (problem, times, abstol, reltol, count)
        for _ in 2:count
            solve(problem, Tsit5(); saveat=times, save_start=false, abstol, reltol)
        end
        return length(solve(problem, Tsit5(); saveat=times, save_start=false, abstol, reltol).u)
    end"""
    loop = _main().seval(code)
    arguments = (_problem(), _vector(tasks.save_times(saves)), tasks.TOLERANCE.atol, tasks.TOLERANCE.rtol, count)
    return tasks.repeated(lambda: loop(*arguments), 1, lambda length: length == saves, inside=count)
