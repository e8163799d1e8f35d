"""W7: stochastic equations: strong error against time, a long path of a small system, and the latent SDE.

The step size stands in the column of the relative tolerance. Strong errors are means over the paths of the distance to
the exact solution on the same path at t = 1.
"""

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, TORCH, Case, Reference, Row, Run

TITLE = "Stochastic equations"

TORCHSDE = "torchsde"
LIBRARIES = (EMBEDDED, JULIA, TORCHSDE)
KINDS = {EMBEDDED: (TORCH,), JULIA: (COMPILED, CALLED_BACK), TORCHSDE: (TORCH,)}
ENGINES = {EMBEDDED: "embedded", JULIA: "julia"}
ADDITIVE = {EMBEDDED: ("EM", "SRA1", "SOSRA"), JULIA: ("EM", "SRA1", "SOSRA"), TORCHSDE: ("euler", "srk")}
EULER = {EMBEDDED: "EM", JULIA: "EM", TORCHSDE: "euler"}
PATHS, SIZE = 1000, 4
ONE = Reference(us=np.ones(1))


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    steps, batches = (100, (1,)) if short else (1000, (1, 64, 1024))
    for rhs in KINDS[library]:
        for solver in ADDITIVE[library]:
            for k in (3, 4) if short else (2, 3, 4, 5, 6, 7):
                row = Row("w7", f"additive noise, {PATHS} paths", library, solver, rhs=rhs, rtol=2.0**-k)
                yield Case(row, partial(_run, library, "additive", solver, PATHS, 2.0**-k, rhs=rhs), ONE)
        group = f"geometric Brownian motion, {steps} steps of Euler's, {SIZE} elements"
        row = Row("w7", group, library, EULER[library], rhs=rhs, rtol=1.0 / steps)
        yield Case(row, partial(_run, library, "geometric", EULER[library], SIZE, steps, rhs=rhs), Reference())
        for batch in batches:
            group = f"latent SDE, value and gradient, batch {batch}"
            row = Row("w7", group, library, EULER[library], rhs=rhs, dtype="float32", rtol=0.01)
            yield Case(row, partial(_run, library, "latent", batch, rhs=rhs), Reference(), last=True)


def _run(library: str, what: str, *arguments: Any, rhs: str) -> Run:
    """One of the functions that both adapters have."""
    if library == TORCHSDE:
        return getattr(importlib.import_module("_sde_torchsde"), what)(*arguments)
    return getattr(importlib.import_module("_sde_pydiffeqflux"), what)(ENGINES[library], *arguments, rhs=rhs)
