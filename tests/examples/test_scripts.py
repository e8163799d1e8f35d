import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_JULIA = {"D0_diffeqflux_jl"}
# delays are there on the embedded engine only
EMBEDDED = {"B4_delay_lotka_volterra", "B6_influenza"}
SHORT = {
    "B4_delay_lotka_volterra": ("--iterations", "5"),
    "B5_mackey_glass": ("--iterations", "5"),
    "B6_influenza": ("--iterations", "5"),
    "B7_robertson_constraint": ("--iterations", "5"),
    "B8_ffjord": ("--iterations", "3"),
    "B2_latent_sde_lorenz": ("--iterations", "5"),
    "B3_sde_hare_lynx": ("--iterations", "20"),
}
ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
SCRIPTS = [
    pytest.param(
        engine, path, marks=pytest.mark.julia if engine == "julia" else pytest.mark.slow, id=f"{path.stem}-{engine}"
    )
    for path in sorted(EXAMPLES.glob("[A-Z][0-9]_*.py"))
    for engine in ("embedded", "julia")
    if path.stem not in (EMBEDDED if engine == "julia" else IN_JULIA)
]


def run(script, folder, *arguments, engine="embedded", timeout=300):
    # on some platforms it matters whether torch or Julia comes first, which the engine warns of once
    warnings = ("-W", "error", "-W", "ignore:torch was imported before juliacall")
    command = [sys.executable, *warnings, str(script), *arguments]
    environment = os.environ | {"PYDIFFEQFLUX_ENGINE": engine}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout, env=environment
    )


@pytest.mark.parametrize(("engine", "script"), SCRIPTS)
def test_example_runs_without_a_warning(engine, script, tmp_path):
    result = run(script, tmp_path, *SHORT.get(script.stem, ()), engine=engine)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_demo_writes_its_figures(engine, tmp_path):
    result = run(EXAMPLES / "demo.py", tmp_path, engine=engine, timeout=900)
    assert result.returncode == 0, result.stderr
    figures = {path.name for path in (tmp_path / "figures").glob("*.png")}
    drawn = {"adjoints", "hudson_bay_fit", "hudson_bay_phase", "losses", "mackey_glass", "neural_sde"}
    assert figures == {f"{name}.png" for name in drawn}
    assert "Total time" in result.stdout


def benchmark(folder, *arguments):
    script = EXAMPLES / "benchmarks" / "run.py"
    result = run(script, folder, "--short", *arguments, "--out", str(folder), timeout=900)
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())["rows"]


@pytest.mark.slow
def test_benchmarks_solve_what_they_time(tmp_path):
    rows = benchmark(tmp_path, "--only", "w1", "--library", "pydiffeqflux-embedded", "--library", "scipy")
    assert all(row["status"] == "ok" for row in rows if row["library"] == "pydiffeqflux-embedded")
    assert {row["library"] for row in rows} == {"pydiffeqflux-embedded", "scipy"}
    assert len(rows) > 2


@pytest.mark.slow
@pytest.mark.julia
@pytest.mark.parametrize("workload", ["w1", "w4", "w9", "wb"])
def test_benchmarks_of_julia_solve_what_they_time(tmp_path, workload):
    rows = benchmark(tmp_path, "--only", workload, "--library", "pydiffeqflux-julia")
    assert len(rows) > 1
    assert all(row["status"] == "ok" for row in rows)
