"""W4: the spiral neural ODE of torchdiffeq's `ode_demo.py`: one gradient, and a training run.

A training run is void unless its first 20 losses agree with the reference to 1e-4 and its final loss with the median of
all runs to 10 %.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import _libraries
from _cases import gradient_cases
from _problems import spiral_network, spiral_truth
from _references import References
from _rows import Case, Row, Tolerance

TITLE = "Spiral neural ODE: MLP 2-50-2, 30 points, float64"

RATE = 0.05
TRAINING_TOLERANCE = Tolerance(1e-6, 1e-6)

METHODS: dict[str, Sequence[tuple[str, str, str]]] = {
    "pydiffeqflux": [
        ("Tsit5", "ReverseDiffAdjoint", "direct"),
        ("Tsit5", "GaussAdjoint", "interpolating"),
        ("Tsit5", "BacksolveAdjoint", "backsolve"),
    ],
    "torchdiffeq": [("dopri5", "odeint", "direct"), ("dopri5", "odeint_adjoint", "backsolve")],
    "diffrax": [("Tsit5", "RecursiveCheckpointAdjoint", "direct")],
}
"""Solver, adjoint, and the class of the adjoint."""


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    data = references.solution(spiral_truth()).us
    assert data is not None
    problem = spiral_network(data)
    reference = references.gradient(problem)
    tolerances = [Tolerance(10.0**-k, 10.0**-k) for k in ((5, 6, 7) if short else (4, 5, 6, 7, 8))]
    for solver, adjoint, kind in METHODS[library]:
        group = f"one gradient, {kind}"
        yield from gradient_cases("w4", group, problem, reference, library, [(solver, adjoint)], tolerances)
    steps = 50 if short else 500
    losses = references.training(problem, 20, RATE)
    tol = TRAINING_TOLERANCE
    for solver, adjoint, _ in METHODS[library]:
        row = Row(
            "w4",
            f"training, {steps} steps of Adam",
            library,
            f"{solver}, {adjoint}",
            _libraries.RHS[library],
            rtol=tol.rtol,
            atol=tol.atol,
        )
        make = partial(_libraries.training, library, problem, solver, adjoint, tol, steps=steps, rate=RATE)
        yield Case(row, make, losses, last=True)
