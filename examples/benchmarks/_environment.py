"""Where a run was made: versions and hardware, without the name of the host."""

import datetime
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import _libraries

from pydiffeqflux._engines.julia._installation import find_installation, installed_packages

PACKAGES = (
    "pydiffeqflux",
    "torch",
    "torchdiffeq",
    "torchode",
    "torchsde",
    "diffrax",
    "jax",
    "scipy",
    "numpy",
    "juliacall",
)
JULIA_PACKAGES = ("OrdinaryDiffEq", "SciMLSensitivity", "StochasticDiffEq")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "JULIA_NUM_THREADS",
    "JULIA_NUM_GC_THREADS",
    "PYTHON_JULIACALL_THREADS",
)

SINGLE_THREADED = dict.fromkeys(THREAD_VARIABLES, "1")


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and when.

    Attributes:
        date: of the day.
        cpu: model.
        cores: usable ones.
        load: runnable processes when the run began: what else the machine was doing.
        python: version.
        packages: versions; an empty one is not installed.
        commit: of the repository, with "+" if there were changes.
    """

    date: str
    cpu: str
    cores: int
    load: float
    python: str
    packages: dict[str, str]
    commit: str

    @property
    def machine(self) -> str:
        """The hardware as part of a file name."""
        cpu = re.sub(r"\W+", "-", re.sub(r"\(\w+\)|@.*|\bprocessor\b|\bcpu\b", " ", self.cpu.lower())).strip("-")
        return f"{cpu}-{self.cores}-cores"

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {version or 'not installed'}" for name, version in self.packages.items())
        return (
            f"{self.date}, {self.cpu}, {self.cores} cores, load {self.load:.1f} at the start, "
            f"Python {self.python}, {packages}, commit {self.commit}; one thread a process."
        )


def environment() -> Environment:
    """The present one."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Environment(
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        cpu=_cpu(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        python=platform.python_version(),
        packages={name: _libraries.version(name) for name in PACKAGES} | _julia(),
        commit=_commit(),
    )


def single_core(core: int) -> None:
    """Bind this process to one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def usable_cores() -> list[int]:
    """The cores that processes can be bound to."""
    affinity = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else [0]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _julia() -> dict[str, str]:
    """The versions of Julia and its packages, without starting more of it than its command line."""
    installation = find_installation()
    if installation.problem or installation.executable is None or installation.project is None:
        return {"Julia": ""}
    shown = subprocess.run([installation.executable, "--version"], capture_output=True, text=True, check=False).stdout
    packages = installed_packages(installation.project)
    return {"Julia": shown.removeprefix("julia version").strip()} | {name: packages[name] for name in JULIA_PACKAGES}


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changed.returncode else "")
