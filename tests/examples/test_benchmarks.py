import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"

PROBLEMS = ("lorenz", "lotka_volterra", "robertson", "hires", "van_der_pol", "pollution", "brusselator")


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def report():
    return importlib.import_module("_report")


def row(library, solver, rhs, time, error=None, adjoint="", **more):
    Row = importlib.import_module("_rows").Row
    measured = {"status": "ok", "median": time, "minimum": time, "gradient_error": error}
    return Row("w", "group", library, solver, adjoint, rhs, **(measured | more))


def ladder(library, solver, rhs, time, **more):
    return [row(library, solver, rhs, time * (1 + i), 10.0**-i, **more) for i in (2, 3, 4)]


def summary(report, rows):
    environment = importlib.import_module("_environment").Environment("today", "cpu", 1, 0.0, "3", {}, "commit")
    return report.summary(rows, environment, {"w": "a title"})


def test_every_engine_and_kind_of_right_hand_side_has_a_verdict_of_its_own(report):
    rows = [
        *ladder("pydiffeqflux-embedded", "A", "torch", 4.0),
        *ladder("pydiffeqflux-julia", "B", "JuliaSource", 1.0),
        *ladder("pydiffeqflux-julia", "B", "torch, called back", 8.0),
        *ladder("scipy", "C", "torch", 6.0),
        *ladder("scipy", "C", "numpy", 2.0),
    ]
    ((_, series),) = report._groups(rows).items()
    verdicts = [v for v in report._verdicts("W", series) if v.error == 1e-3]
    assert [v.ours[1] for v in verdicts] == [
        "pydiffeqflux-embedded A (torch)",
        "pydiffeqflux-julia B (JuliaSource)",
        "pydiffeqflux-julia B (torch, called back)",
    ]
    best, torch = zip(*(v.ratios[:2] for v in verdicts), strict=True)
    assert best == pytest.approx((0.5, 2.0, 0.25))
    assert torch == pytest.approx((1.5, 6.0, 0.75))
    losses = report._losses(verdicts)
    assert "pydiffeqflux-embedded A" in losses
    assert "called back" in losses
    assert "JuliaSource" not in losses


def test_classes_of_adjoints_are_compared_apart_and_together(report):
    rows = [
        *ladder("pydiffeqflux-embedded", "A", "torch", 1.0, adjoint="direct"),
        *ladder("pydiffeqflux-julia", "B", "torch, compiled", 1.0, adjoint="interpolating"),
        *ladder("torchdiffeq", "C", "torch", 3.0, adjoint="direct"),
    ]
    text = summary(report, rows)
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == [
        "group, direct",
        "group, interpolating",
        "group, any adjoint",
    ]
    together = text.partition("any adjoint")[2]
    assert "pydiffeqflux-julia B (torch, compiled): " in together
    assert "**3x** torchdiffeq" in together


def test_times_without_errors_have_units_and_losses(report):
    rows = [
        row("juliacall", "a call", "", 0.5e-3),
        row("juliacall", "in Julia", "", 1e-3),
        row("pydiffeqflux-julia", "a call", "", 2e-3),
        row("pydiffeqflux-julia", "start", "", 1500.0),
    ]
    text = summary(report, rows)
    assert "| pydiffeqflux-julia | a call | 2 µs | 2 µs | ok |" in text
    assert "| pydiffeqflux-julia | start | 1.5 s | 1.5 s | ok |" in text
    assert "| W, group | - | pydiffeqflux-julia a call | 0.25x juliacall a call | - | - |" in text


def test_the_time_of_what_is_repeated_is_divided():
    rows, timing = importlib.import_module("_rows"), importlib.import_module("_timing")
    calls = []

    def call():
        calls.append(1)

    case = rows.Case(row("torch", "a call", "", None), lambda: rows.Run(call, lambda _: rows.Outcome(), 1000), None)
    case = dataclasses.replace(case, reference=rows.Reference())
    one = dataclasses.replace(case, make=lambda: rows.Run(call, lambda _: rows.Outcome()))
    many, single = timing.measure(case, timing.SHORT), timing.measure(one, timing.SHORT)
    assert many.status == single.status == "ok"
    assert many.first is None
    assert single.first is not None
    assert many.median < single.first
    assert len(calls) == many.repeats + single.repeats + 2


def test_what_a_call_measures_itself_is_the_time():
    rows, timing = importlib.import_module("_rows"), importlib.import_module("_timing")
    run = rows.Run(lambda: None, lambda _: rows.Outcome(seconds=2.0))
    measured = timing.measure(rows.Case(row("torch", "start", "", None), lambda: run, rows.Reference()), timing.SHORT)
    assert (measured.median, measured.repeats) == (2000.0, 0)


def test_every_workload_has_cases_for_the_libraries_it_names():
    workloads = importlib.import_module("run").WORKLOADS
    libraries = importlib.import_module("_rows").LIBRARIES
    taking_part = {name: importlib.import_module(module).LIBRARIES for name, module in workloads.items()}
    assert set().union(*taking_part.values()) == set(libraries)


@pytest.mark.julia
@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_julia_sources_are_the_same_equations(name):
    rows, timing = importlib.import_module("_rows"), importlib.import_module("_timing")
    julia, embedded = importlib.import_module("_pydiffeqflux_julia"), importlib.import_module("_pydiffeqflux")
    problem = getattr(importlib.import_module("_problems"), name)()
    end = problem.tspan[1] / 100
    problem = dataclasses.replace(problem, tspan=(0.0, end), saveat=np.array([end / 2, end]))
    alg, tol = "Rodas5P" if problem.stiff else "Tsit5", rows.Tolerance(1e-8, 1e-12)
    run = embedded.forward(problem, embedded.Method(alg), tol)
    expected = run.read(run.call()).us
    for rhs in (rows.SOURCE, rows.COMPILED, rows.CALLED_BACK):
        run = julia.forward(problem, alg, tol, "float64", rhs=rhs)
        outcome = run.read(run.call())
        assert not outcome.failure
        assert timing.solution_error(outcome.us, expected) < 1e-5
