"""What is measured of the bridge: the tasks that all libraries get."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
from _problems import Array, Problem, small_neural_ode
from _rows import Outcome, Run, Tolerance

Measurement = tuple[str, str, Callable[[], Run]]
"""A group, what is done, and what makes the computation."""

START, CALL = "start", "one call"

ARRAYS = {"10 doubles there and back": 10, "1e3 doubles there and back": 1_000, "1e6 doubles there and back": 1_000_000}

SAVES = (1, 10, 1000)
T1 = 10.0
TOLERANCE = Tolerance(rtol=1e-6, atol=1e-8)


def network_problems() -> dict[str, Problem]:
    """The network of W3 for a batch and for one state, by the name of the group."""
    batch = small_neural_ode(10.0, saves=2)
    name = "one evaluation of a 4-32-4 network"
    return {f"{name}, batch 64": batch, f"{name}, one state": dataclasses.replace(batch, u0=batch.u0[0])}


def lorenz_group(saves: int) -> str:
    """The name of the group of solves."""
    return f"Lorenz, 0 to {T1:g}, Tsit5, saved at {saves}"


def save_times(saves: int) -> Array:
    """The last of them is the end."""
    return np.linspace(0.0, T1, saves + 1)[1:]


def repeated(
    body: Callable[[], Any], count: int, check: Callable[[Any], bool] = lambda _: True, *, inside: int = 1
) -> Run:
    """So many calls, timed together; `check` says whether what the last one returned is right.

    A call does what is to be timed `inside` times itself.
    """

    def call() -> Any:
        for _ in range(count - 1):
            body()
        return body()

    return Run(call, lambda raw: Outcome(failure="" if check(raw) else "wrong result"), count * inside)


def doubled(body: Callable[[], Any], size: int) -> Run:
    """Calls that double an array of so many ones."""
    return repeated(body, 10 if size > 10_000 else 1000, lambda y: bool((y == 2.0).all()))


def reported(code: str, part: str) -> Run:
    """The seconds of one part that a fresh interpreter reports when it runs `code`."""
    return Run(lambda: _report(code)[part], lambda seconds: Outcome(seconds=seconds))


def start_up(code: str, parts: Iterable[str]) -> list[Measurement]:
    """The parts of a start, all from one fresh interpreter."""
    return [(START, part, lambda part=part: reported(code, part)) for part in parts]


@cache
def _report(code: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
