"""Where Julia is, found out without starting it."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARKER = "pydiffeqflux.json"
"""The file that `python -m pydiffeqflux setup` leaves in the Julia project: what it tested, and with what result."""

SETUP = "`python -m pydiffeqflux setup`"
DOCTOR = "`python -m pydiffeqflux doctor`"


@dataclass(frozen=True)
class Installation:
    """A Julia, or the reason why there is none.

    Attributes:
        executable, project: what juliacall will use; `None` where it finds them itself or where there is none.
        source: who named them: "running", "environment variables", "juliapkg", or "nowhere" if nobody did.
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
    """Look for Julia: running already, named by the user, or set up by juliapkg. Starts and installs nothing."""
    juliacall = sys.modules.get("juliacall")
    if juliacall is not None and juliacall.CONFIG.get("inited"):
        return _running(juliacall.CONFIG.get("exepath"), juliacall.CONFIG.get("project"))
    return _find(_setting("exe"), _setting("project"))


def _setting(name: str) -> str | None:
    """A setting of juliacall, which reads the command line (-X juliacall-exe=...) before the environment."""
    option = sys._xoptions.get(f"juliacall-{name}")
    return option if isinstance(option, str) else os.environ.get(f"PYTHON_JULIACALL_{name.upper()}") or None


# Looking takes a millisecond, and engine="auto" looks at every solve.
@cache
def _running(executable: str | None, project: str | None) -> Installation:
    return _checked(executable, project, "running")


@cache
def _find(executable: str | None, project: str | None) -> Installation:
    if importlib.util.find_spec("juliacall") is None:
        return _missing("juliacall is not installed; run `pip install 'pydiffeqflux[julia]'` and then " + SETUP + ".")
    if executable and project:
        found = shutil.which(executable)
        if found is None:
            return _misconfigured(f"PYTHON_JULIACALL_EXE is {executable}, which is not an executable")
        if not Path(project).is_dir():
            return _misconfigured(f"PYTHON_JULIACALL_PROJECT is {project}, which is not a folder")
        return _checked(found, project, "environment variables")
    if executable or project:
        return _misconfigured("only one of PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT is set")
    return _set_up_by_juliapkg()


def _missing(problem: str) -> Installation:
    return Installation(None, None, "nowhere", problem, {})


def _misconfigured(problem: str) -> Installation:
    remedy = f"set both to a Julia and its project, or unset both and run {SETUP}."
    return Installation(None, None, "environment variables", f"{problem}; {remedy}", {})


def _checked(executable: str | None, project: str | None, source: str) -> Installation:
    """An installation whose project is known; its manifest tells whether the packages are there."""
    if project is None:
        return Installation(executable, None, source, "", {})
    installed, problem = installed_packages(project), ""
    lack, other = _lack(installed), _other_pythoncall(installed)
    if lack:
        problem = (
            f"the Julia project {project} lacks {lack}; add the packages of {requirements_file()} to it, or unset "
            f"PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT and run {SETUP}."
        )
    elif other and source != "running":
        problem = (
            f"PythonCall is {other} in the Julia project {project}, and juliacall must be the same; run "
            f"`pip install juliacall=={other}`."
        )
    return Installation(executable, project, source, problem, {} if problem else read_marker(project))


def _lack(installed: dict[str, str]) -> str:
    """Which packages are absent, in words; empty if none are."""
    absent = sorted(needed_packages() - installed.keys())
    return ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")


def _other_pythoncall(installed: dict[str, str]) -> str:
    """The version of PythonCall, empty if it is that of juliacall: they are halves of one package."""
    try:
        juliacall = importlib.metadata.version("juliacall")
    except importlib.metadata.PackageNotFoundError:
        return ""
    return "" if installed.get("PythonCall") == juliacall else installed.get("PythonCall", "")


def _set_up_by_juliapkg() -> Installation:
    # importing it neither resolves nor starts anything
    project = importlib.import_module("juliapkg.state").STATE["project"]
    tested = read_marker(project)
    if not tested:
        return _missing(f"Julia has not been set up for pydiffeqflux; run {SETUP}.")
    executable, installed, problem = str(tested.get("executable")), installed_packages(project), ""
    if tested.get("requirements") != requirements():
        problem = f"the Julia packages that pydiffeqflux needs have changed since setup; run {SETUP} again."
    elif shutil.which(executable) is None:
        problem = f"the Julia that was set up, {executable}, is gone; run {SETUP} again."
    elif _lack(installed):
        problem = f"Julia packages that pydiffeqflux needs were removed from {project}; run {SETUP} again."
    elif _other_pythoncall(installed):
        problem = f"juliacall has changed since setup; run {SETUP} again."
    return Installation(executable, project, "juliapkg", problem, tested)


def forget() -> None:
    """Look anew the next time."""
    _running.cache_clear()
    _find.cache_clear()


def needed_packages() -> set[str]:
    """The packages that PyDiffEqFlux and juliacall load."""
    project = tomllib.loads((package_directory() / "Project.toml").read_text(encoding="utf-8"))
    return {"PythonCall", *project["deps"]}


def installed_packages(project: str) -> dict[str, str]:
    """The packages of a Julia project with their versions, empty for those that come with Julia."""
    packages: dict[str, str] = {}
    for path in Path(project).glob("*Manifest*.toml"):
        try:
            manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for name, (entry, *_) in manifest.get("deps", {}).items():
            packages[name] = entry.get("version", "")
    return packages


def requirements_file() -> Path:
    """Our juliapkg.json, which lies beside the folder of the Julia package."""
    return package_directory().parent / "juliapkg.json"


def requirements() -> dict[str, object]:
    """The content of our juliapkg.json."""
    return json.loads(requirements_file().read_text(encoding="utf-8"))


def read_marker(project: str) -> dict[str, object]:
    """What setup wrote, empty where it has not."""
    try:
        return json.loads((Path(project) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_marker(project: str, tested: dict[str, object]) -> None:
    """Leave the result of setup in the project."""
    (Path(project) / MARKER).write_text(json.dumps(tested, indent=2) + "\n", encoding="utf-8")


def remove_marker(project: str) -> None:
    """Forget the result of setup."""
    (Path(project) / MARKER).unlink(missing_ok=True)
