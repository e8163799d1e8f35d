"""W8: a delay equation: the end of Mackey-Glass's against time, by a ladder of tolerances."""

import importlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _references import References
from _rows import EMBEDDED, TORCH, Case, Outcome, Reference, Row, Run

import pydiffeqflux as de

TITLE = "Delay equations"

DDEINT, JITCDDE = "ddeint", "jitcdde"
LIBRARIES = (EMBEDDED, DDEINT, JITCDDE)
KINDS = {EMBEDDED: TORCH, DDEINT: "numpy", JITCDDE: "C"}
SOLVERS = {EMBEDDED: ("Tsit5", "Vern7"), DDEINT: ("ddeint",), JITCDDE: ("jitcdde",)}
DELAY, START, END = 14.0, 0.5, 300.0
REFERENCE = Path(__file__).parents[2] / "tests" / "data" / "mackey_glass.json"
"""By DelayDiffEq.jl at tolerances of 1e-12."""


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library. ddeint takes its accuracy from the number of points that it is asked for."""
    exact = Reference(us=np.asarray(json.loads(REFERENCE.read_text())["u"][-1]))
    for solver in SOLVERS[library]:
        for k in (3, 4) if short else (3, 4, 5, 6, 7, 8):
            if library == DDEINT and k > 5:
                continue
            row = Row("w8", "Mackey-Glass, 0 to 300", library, solver, rhs=KINDS[library], rtol=10.0**-k)
            yield Case(row, partial(_MAKE[library], solver, 10.0**-k), exact)


def _embedded(solver: str, tol: float) -> Run:
    def f(u: torch.Tensor, h: Callable[..., torch.Tensor], p: None, t: torch.Tensor) -> torch.Tensor:
        delayed = h(p, t - DELAY)
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * u

    prob = de.DDEProblem(f, [START], START, (0.0, END))
    alg = de.MethodOfSteps(getattr(de, solver)())

    def call() -> de.Solution:
        return de.solve(prob, alg, abstol=tol, reltol=tol, saveat=[END], engine="embedded")

    return Run(call, lambda sol: Outcome(us=sol.u[-1], nfe=sol.stats.nf, accepted=sol.stats.naccept))


def _ddeint(solver: str, tol: float) -> Run:
    solve: Any = importlib.import_module("ddeint").ddeint
    times = np.linspace(0.0, END, round(3.0 / tol**0.5 * END / 10.0))

    def f(u: Callable[[float], Any], t: float) -> Any:
        delayed = u(t - DELAY)
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * u(t)

    return Run(lambda: solve(f, lambda t: START, times), lambda u: Outcome(us=np.ravel(u[-1])))


def _jitcdde(solver: str, tol: float) -> Run:
    module: Any = importlib.import_module("jitcdde")
    delayed = module.y(0, module.t - DELAY)
    system = module.jitcdde([0.2 * delayed / (1.0 + delayed**10) - 0.1 * module.y(0)], verbose=False)
    system.compile_C()

    def call() -> Any:
        system.purge_past()
        system.constant_past([START])
        system.reset_integrator()
        system.set_integration_parameters(rtol=tol, atol=tol)
        system.step_on_discontinuities()
        return system.integrate(END)

    return Run(call, lambda u: Outcome(us=np.ravel(u)))


_MAKE: dict[str, Callable[[str, float], Run]] = {EMBEDDED: _embedded, DDEINT: _ddeint, JITCDDE: _jitcdde}
