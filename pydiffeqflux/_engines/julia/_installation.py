"""Where Julia is, found out without starting it."""

import importlib.util
import json
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARKER = "pydiffeqflux.json"
"""The file that `python -m pydiffeqflux setup` leaves in the Julia project: what it tested, and with what result."""

SETUP = "`python -m pydiffeqflux setup`"


@dataclass(frozen=True)
class Installation:
    """A Julia, or the reason why there is none.

    Attributes:
        executable, project: what juliacall will use; `None` where it finds them itself or where there is none.
        source: who named them: "running", "environment variables", "juliapkg".
        problem: why the julia engine cannot run, as one sentence with what to do; empty where it can.
        tested: what setup found out, empty where it has not run.
    """

    executable: str | None
    project: str | None
    source: str
    problem: str
    tested: dict[str, object]

    @property
    def ready(self) -> bool:
        """Whether the julia engine can start without installing anything."""
        return not self.problem


def package_directory() -> Path:
    """The folder of the Julia package PyDiffEqFlux: beside this package in a wheel, beside its parent in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "julia"
    return inside if (inside / "Project.toml").exists() else package.parent / "julia"


def find_installation() -> Installation:
    """Look for Julia: running already, named by environment variables, or set up by juliapkg."""
    juliacall = sys.modules.get("juliacall")
    if juliacall is not None and juliacall.CONFIG.get("inited"):
        config = juliacall.CONFIG
        return _checked(config.get("exepath"), config.get("project"), "running")
    if importlib.util.find_spec("juliacall") is None:
        return _missing(
            "juliacall is not installed; run `pip install 'pydiffeqflux[julia]'` and then " + SETUP[4:] + "."
        )
    executable, project = (os.environ.get(f"PYTHON_JULIACALL_{name}") for name in ("EXE", "PROJECT"))
    if executable and project:
        found = shutil.which(executable)
        if found is None:
            return _missing(f"PYTHON_JULIACALL_EXE is {executable}, which is not an executable; correct or unset it.")
        return _checked(found, project, "environment variables")
    if executable or project:
        return _missing(
            "only one of PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT is set; set both, or unset both and "
            f"run {SETUP}."
        )
    return _set_up_by_juliapkg()


def _missing(problem: str) -> Installation:
    return Installation(None, None, "nowhere", problem, {})


def _checked(executable: str | None, project: str | None, source: str) -> Installation:
    """An installation whose project is known; its manifest tells whether the packages are there."""
    if project is None:
        return Installation(executable, None, source, "", {})
    manifests = [path for path in Path(project).glob("*Manifest*.toml") if path.is_file()]
    if not any("[[deps.SciMLSensitivity]]" in path.read_text(encoding="utf-8") for path in manifests):
        problem = (
            f"the Julia project {project} does not hold the packages of pydiffeqflux; run {SETUP}, "
            "or add those of its juliapkg.json to the project."
        )
        return Installation(executable, project, source, problem, {})
    return Installation(executable, project, source, "", read_marker(project))


@cache
def _set_up_by_juliapkg() -> Installation:
    from juliapkg.state import STATE  # importing it neither resolves nor starts anything

    project = STATE["project"]
    tested = read_marker(project)
    if not tested:
        return Installation(None, project, "juliapkg", f"Julia has not been set up for pydiffeqflux; run {SETUP}.", {})
    if tested.get("requirements") != requirements():
        problem = f"the Julia packages that pydiffeqflux needs have changed since setup; run {SETUP} again."
        return Installation(None, project, "juliapkg", problem, tested)
    return Installation(None, project, "juliapkg", "", tested)


def forget() -> None:
    """Look anew the next time."""
    _set_up_by_juliapkg.cache_clear()


def requirements() -> dict[str, object]:
    """The content of our juliapkg.json."""
    path = package_directory().parent / "juliapkg.json"
    return json.loads(path.read_text(encoding="utf-8"))


def read_marker(project: str) -> dict[str, object]:
    """What setup wrote, empty where it has not."""
    try:
        return json.loads((Path(project) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_marker(project: str, tested: dict[str, object]) -> None:
    """Leave the result of setup in the project."""
    (Path(project) / MARKER).write_text(json.dumps(tested, indent=2) + "\n", encoding="utf-8")
