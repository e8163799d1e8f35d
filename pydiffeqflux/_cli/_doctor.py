"""`doctor`: what is installed, which engine will run, and whether it works."""

import importlib.metadata
import platform
import sys

import torch

from .._engines._select import EngineName, automatic_engine
from .._engines.julia._installation import Installation, find_installation, installed_packages
from .._errors import InvalidOptionError
from ._self_test import self_test as run_self_test

_SHOWN = ("PythonCall", "OrdinaryDiffEq", "SciMLSensitivity", "StochasticDiffEq", "DelayDiffEq", "DiffEqFlux", "Lux")


def doctor(*, self_test: bool) -> int:
    """Print a report. Returns 0 unless something that was set up does not work."""
    installation = find_installation()
    _say("pydiffeqflux", _version("pydiffeqflux"))
    _say("python", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")
    _say("torch", f"{_version('torch')}, threads: {torch.get_num_threads()}")
    _say("juliacall", f"{_version('juliacall')}, juliapkg {_version('juliapkg')}")
    sound = _describe(installation)
    try:
        engine, reason = automatic_engine()
        _say("engine", f"engine='auto' takes {engine}: {reason}")
        sound = sound and (engine == "embedded" or installation.ready)
    except InvalidOptionError as error:
        _say("engine", str(error))
        sound = False
    if self_test:
        sound = _test("embedded") and sound
        if installation.ready:
            sound = _test("julia") and sound
    return 0 if sound else 1


def _describe(installation: Installation) -> bool:
    """Print what there is of Julia. Returns whether it is as whoever set it up wanted it."""
    if installation.source == "nowhere":
        _say("julia", f"none: {installation.problem}")
        return True
    _say("julia", f"{installation.executable or 'unknown'}, named by {installation.source}")
    if installation.project:
        versions = installed_packages(installation.project)
        _say("project", installation.project)
        _say("packages", ", ".join(f"{name} {versions.get(name, 'absent')}" for name in _SHOWN))
    tested = installation.tested
    if tested:
        orders = {"torch": tested.get("torch_first"), "juliacall": tested.get("juliacall_first")}
        works = (f"{first} imported first {'works' if fine else 'does not work'}" for first, fine in orders.items())
        _say("setup", ", ".join(works))
    else:
        _say("setup", "has not run here: whether torch may be imported before Julia starts is not known")
    if installation.problem:
        _say("problem", installation.problem)
    return installation.ready


def _test(engine: EngineName) -> bool:
    result = run_self_test(engine)
    if result.julia_version:
        _say("julia", f"{result.julia_version}, threads: {result.julia_threads}")
    failure = f"FAILED: {result.problem}; " if result.problem else ""
    _say(f"{engine} test", failure + result.timings)
    return not result.problem


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _say(subject: str, text: str) -> None:
    print(f"{subject:<15}{text}", flush=True)
