"""WB: what it costs to go to Julia and back, beside juliacall as it comes. There is no error to match: these are times.

juliacall converts arrays, this package hands over addresses: both double what they get and bring it back, as an array
of numpy or a tensor. So with the states of a Lorenz solve, by Julia code; "in Julia" is a loop around that solve which
never leaves Julia, so that the rest is the way there, the options, and the way back. An evaluation of the network is
called back by Julia in a loop, or compiled. diffeqpy, juliacall with the names of DifferentialEquations.jl, has no
adapter yet.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from _references import References
from _rows import JULIA, Case, Reference, Row

TITLE = "The bridge to Julia"

ADAPTERS = {"juliacall": "_bridge_juliacall", JULIA: "_bridge_pydiffeqflux", "torch": "_bridge_torch"}
LIBRARIES = (*ADAPTERS, "diffeqpy")


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    if library not in ADAPTERS:
        return
    adapter: Any = importlib.import_module(ADAPTERS[library])
    for group, what, make in adapter.measurements():
        yield Case(Row("wb", group, library, what), make, Reference())
