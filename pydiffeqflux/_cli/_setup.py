"""`setup`: install, compile and test what the julia engine needs."""

import importlib
import importlib.util
import platform
import subprocess
import sys
from dataclasses import dataclass

import torch

from .._engines.julia._installation import (
    find_installation,
    forget,
    installed_packages,
    needed_packages,
    remove_marker,
    requirements,
    requirements_file,
    write_marker,
)
from ._precompile import precompile
from ._self_test import First, SelfTest, self_test


class SetupError(Exception):
    """Setup cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class _Julia:
    executable: str
    project: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make juliacall use this Julia without asking juliapkg."""
        return {"PYTHON_JULIACALL_EXE": self.executable, "PYTHON_JULIACALL_PROJECT": self.project}


def setup() -> int:
    """Do it, telling what is being done. Returns 0 if the julia engine works."""
    try:
        julia = _find_or_install()
        _compile(julia)
        _test(julia)
    except SetupError as error:
        print(f"setup failed: {error}", file=sys.stderr)
        return 1
    _say("The julia engine is ready.")
    return 0


def _find_or_install() -> _Julia:
    if importlib.util.find_spec("juliacall") is None:
        raise SetupError("juliacall is not installed; run `pip install 'pydiffeqflux[julia]'` first.")
    found = find_installation()
    if found.source != "environment variables":
        return _install()
    if found.problem or found.executable is None or found.project is None:
        raise SetupError(found.problem)
    _say(f"Using the Julia project {found.project}, named by environment variables; nothing is installed in it.")
    return _Julia(found.executable, found.project)


def _install() -> _Julia:
    juliapkg, state = importlib.import_module("juliapkg"), importlib.import_module("juliapkg.state").STATE
    offline = bool(state["offline"])
    _say(f"Looking for Julia and its packages{'' if offline else ', and installing what is missing'}.")
    try:
        julia = _Julia(juliapkg.executable(), juliapkg.project())
        if _lacks_packages(julia) and not offline:
            juliapkg.resolve(force=True)
    except Exception as error:  # juliapkg raises bare Exceptions, those of urllib, of subprocess, of the file system
        seen = "see above" if isinstance(error, subprocess.SubprocessError) else str(error)
        raise SetupError(f"Julia or its packages could not be installed ({seen}); {_remedy(offline=offline)}") from None
    if _lacks_packages(julia):
        raise SetupError(f"the Julia project {julia.project} lacks packages; {_remedy(offline=offline)}")
    return julia


def _lacks_packages(julia: _Julia) -> bool:
    return bool(needed_packages() - installed_packages(julia.project).keys())


def _remedy(*, offline: bool) -> str:
    first = (
        "unset PYTHON_JULIAPKG_OFFLINE, which forbids to download them"
        if offline
        else "check the network connection and its proxy (HTTPS_PROXY)"
    )
    return (
        f"{first}, or set PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT to a Julia of your own and a project with "
        f"the packages of {requirements_file()}."
    )


def _compile(julia: _Julia) -> None:
    _say(f"Compiling for {julia.executable}; the first time this takes several minutes.")
    if not precompile(julia.executable, julia.project):
        raise SetupError("the Julia packages could not be compiled; see Julia's message above.")


def _test(julia: _Julia) -> None:
    """Test both orders of import, and leave what came out in the project."""
    remove_marker(julia.project)  # what an earlier test found must not decide this one
    _say("Testing the julia engine in two fresh processes.")
    torch_first, juliacall_first = _test_order(julia, "torch"), _test_order(julia, "juliacall")
    if torch_first.problem and juliacall_first.problem:
        raise SetupError(f"the julia engine does not work here: {juliacall_first.problem}.")
    if torch_first.problem:
        _say("Write `import juliacall` before the first import of torch and pydiffeqflux.")
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "julia": torch_first.julia_version or juliacall_first.julia_version,
        **{name: version for name, version in installed_packages(julia.project).items() if name in needed_packages()},
    }
    tested: dict[str, object] = {
        "executable": julia.executable,
        "torch_first": not torch_first.problem,
        "juliacall_first": not juliacall_first.problem,
        "requirements": requirements(),
        "versions": versions,
    }
    try:
        write_marker(julia.project, tested)
    except OSError as error:
        _say(f"The result could not be noted in the project ({error}); the engine works without, but will warn.")
    forget()


def _test_order(julia: _Julia, first: First) -> SelfTest:
    result = self_test("julia", first, julia.environment)
    outcome = f"FAILED: {result.problem}" if result.problem else result.timings
    _say(f"  {first} imported first: {outcome}")
    return result


def _say(text: str) -> None:
    print(text, flush=True)
