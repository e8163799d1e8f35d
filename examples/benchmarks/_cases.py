"""Cases from lists of solvers and tolerances: what the workloads have in common."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import _libraries
from _problems import Problem
from _rows import Case, Dtype, Reference, Row, Tolerance

Solvers = dict[str, Sequence[tuple[str, str]]]
"""For each library its solvers, each with the kind of the right-hand side."""

Method = tuple[str, str, str]
"""Solver, adjoint, and the kind of the right-hand side."""


def forward_cases(
    workload: str,
    group: str,
    problem: Problem,
    reference: Reference,
    library: str,
    solvers: Iterable[tuple[str, str]],
    tolerances: Iterable[Tolerance],
    dtype: Dtype = "float64",
) -> Iterator[Case]:
    """A ladder of solves for every solver."""
    for solver, rhs in solvers:
        for tol in tolerances:
            row = Row(workload, group, library, solver, "", rhs, dtype, tol.rtol, tol.atol)
            make = partial(_libraries.forward, library, problem, solver, tol, rhs=rhs, dtype=dtype)
            yield Case(row, make, reference)


def gradient_cases(
    workload: str,
    group: str,
    problem: Problem,
    reference: Reference,
    library: str,
    methods: Iterable[Method],
    tolerances: Iterable[Tolerance],
    dtype: Dtype = "float64",
    *,
    kind: str = "",
    last: bool = False,
) -> Iterator[Case]:
    """A ladder of gradients for every method; `kind` is the class of their adjoints."""
    for solver, adjoint, rhs in methods:
        for tol in tolerances:
            row = Row(workload, group, library, f"{solver}, {adjoint}", kind, rhs, dtype, tol.rtol, tol.atol)
            make = partial(_libraries.gradient, library, problem, solver, adjoint, tol, rhs=rhs, dtype=dtype)
            yield Case(row, make, reference, last)
