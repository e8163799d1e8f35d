import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_JULIA = {"D0_diffeqflux_jl"}
SCRIPTS = [
    pytest.param(path, marks=pytest.mark.julia if path.stem in IN_JULIA else (), id=path.stem)
    for path in sorted(EXAMPLES.glob("[A-Z][0-9]_*.py"))
]


def run(script, folder, *arguments):
    command = [sys.executable, "-W", "error", str(script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_example_runs_without_a_warning(script, tmp_path):
    result = run(script, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@pytest.mark.slow
def test_demo_writes_its_figures(tmp_path):
    result = run(EXAMPLES / "demo.py", tmp_path)
    assert result.returncode == 0, result.stderr
    figures = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert figures == {"adjoints.png", "hudson_bay_fit.png", "hudson_bay_phase.png", "losses.png"}
    assert "Total time" in result.stdout


@pytest.mark.slow
def test_benchmarks_solve_what_they_time(tmp_path):
    result = run(EXAMPLES / "benchmarks" / "run.py", tmp_path, "--short", "--only", "w1", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.glob("*.json")
    rows = [row for row in json.loads(path.read_text())["rows"] if row["library"] == "pydiffeqflux"]
    assert len(rows) > 1
    assert all(row["status"] == "ok" for row in rows)
