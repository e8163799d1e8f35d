"""A solve and a gradient on an engine, timed, in a process of its own.

Where torch and Julia do not get along, the interpreter crashes: only another process can tell.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .._algorithms import Tsit5
from .._engines._select import EngineName
from .._engines.julia._bridge import start
from .._errors import DiffEqError
from .._problems import ODEProblem
from .._sensealgs import GaussAdjoint
from .._solve import solve

First = Literal["torch", "juliacall"]
"""Which of the two is imported first."""

_AGREEMENT = 1e-5
"""How far the engines may differ, relatively; the tolerance of the solves is a thousand times smaller."""

_CODE = """
import time
begin = time.perf_counter()
import {first}
from pydiffeqflux._cli._self_test import report
report({engine!r}, time.perf_counter() - begin)
"""


@dataclass
class SelfTest:
    """What came out.

    Attributes:
        engine: the engine tested.
        problem: why it does not work; empty where it does.
        seconds: how long each part took, in order.
        julia_version, julia_threads: of the Julia that ran.
    """

    engine: str
    problem: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    julia_version: str = ""
    julia_threads: int = 0

    @property
    def timings(self) -> str:
        """The parts and their times in one line."""
        return ", ".join(f"{part} {_readable(seconds)}" for part, seconds in self.seconds.items())


def _readable(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def self_test(engine: EngineName, first: First = "torch", environment: Mapping[str, str] | None = None) -> SelfTest:
    """Test an engine in a fresh process, with additions to its environment."""
    command = [sys.executable, "-c", _CODE.format(first=first, engine=engine)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return SelfTest(**json.loads(lines[-1]))
    if done.returncode < 0:
        return SelfTest(engine, f"the interpreter crashed (signal {-done.returncode}) with {first} imported first")
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
    return SelfTest(engine, f"the test ended with status {done.returncode}: {last}")


def report(engine: EngineName, imports: float) -> None:
    """Run the test here, after imports that took so long, and print the result as one line of JSON."""
    result = SelfTest(engine, seconds={"imports": imports})
    try:
        _run(result, engine)
    except DiffEqError as error:
        result.problem = str(error)
    print(json.dumps(asdict(result)))


def _run(result: SelfTest, engine: EngineName) -> None:
    if engine == "julia":
        start_up = start().start_up
        result.julia_version, result.julia_threads = start_up.version, start_up.threads
        result.seconds |= {"start of Julia": start_up.julia, "packages": start_up.packages}
    for which in ("first", "second"):
        begin = time.perf_counter()
        states, p = _states(engine)
        solved = time.perf_counter()
        (gradient,) = torch.autograd.grad(states[-1].sum(), p)
        result.seconds[f"{which} solve"] = solved - begin
        result.seconds[f"{which} gradient"] = time.perf_counter() - solved
    if engine == "julia":
        expected, p = _states("embedded")
        for ours, theirs in ((states, expected), (gradient, *torch.autograd.grad(expected[-1].sum(), p))):
            difference = float((ours - theirs).abs().max() / theirs.abs().max())
            if not difference < _AGREEMENT:
                result.problem = f"its result differs from that of the embedded engine by {difference:.1e}"


def _states(engine: EngineName) -> tuple[Tensor, Tensor]:
    """Hares and lynxes, by a method and an adjoint that both engines have."""
    u0 = torch.tensor([30.0, 4.0], dtype=torch.float64)
    p = torch.tensor([0.5, 0.025, 0.9, 0.028], dtype=torch.float64, requires_grad=True)
    prob = ODEProblem(_lotka_volterra, u0, (0.0, 10.0), p)
    sol = solve(
        prob, Tsit5(), engine=engine, saveat=1.0, abstol=1e-8, reltol=1e-8, sensealg=GaussAdjoint(), progress=False
    )
    return sol.u, p


def _lotka_volterra(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    hare, lynx = u.unbind(-1)
    a, b, c, d = p.unbind(-1)
    return torch.stack([a * hare - b * hare * lynx, d * hare * lynx - c * lynx], -1)
