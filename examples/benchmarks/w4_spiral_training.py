"""W4: the spiral neural ODE of torchdiffeq's `ode_demo.py`: one gradient, and a training run.

A training run, in float64, is void unless its first 20 losses agree with the reference to 1e-4 and its final loss with
the median of all runs to 10 %.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import _libraries
from _cases import gradient_cases
from _problems import spiral_network, spiral_truth
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, TORCH, Case, Dtype, Row, Tolerance

TITLE = "Spiral neural ODE: MLP 2-50-2, 30 points"

RATE = 0.05
TRAINING_TOLERANCE = Tolerance(1e-6, 1e-6)

METHODS: dict[str, Sequence[tuple[str, str, str, str]]] = {
    EMBEDDED: [
        ("Tsit5", "ReverseDiffAdjoint", TORCH, "direct"),
        ("Tsit5", "GaussAdjoint", TORCH, "interpolating"),
        ("Tsit5", "BacksolveAdjoint", TORCH, "backsolve"),
    ],
    JULIA: [
        ("Tsit5", "ReverseDiffAdjoint", COMPILED, "direct"),
        ("Vern7", "ReverseDiffAdjoint", COMPILED, "direct"),
        ("Tsit5", "ReverseDiffAdjoint", CALLED_BACK, "direct"),
        ("Tsit5", "GaussAdjoint", COMPILED, "interpolating"),
        ("Vern7", "GaussAdjoint", COMPILED, "interpolating"),
        ("Tsit5", "GaussAdjoint", CALLED_BACK, "interpolating"),
        ("Tsit5", "BacksolveAdjoint", COMPILED, "backsolve"),
        ("Tsit5", "BacksolveAdjoint", CALLED_BACK, "backsolve"),
    ],
    "torchdiffeq": [("dopri5", "odeint", TORCH, "direct"), ("dopri5", "odeint_adjoint", TORCH, "backsolve")],
    "torchode": [("Tsit5", "AutoDiffAdjoint", TORCH, "direct")],
    "diffrax": [("Tsit5", "RecursiveCheckpointAdjoint", "jax jit", "direct")],
}
"""Solver, adjoint, kind of the right-hand side, and the class of the adjoint."""

LIBRARIES = tuple(METHODS)


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    data = references.solution(spiral_truth()).us
    assert data is not None
    problem = spiral_network(data)
    reference = references.gradient(problem)
    exponents: dict[Dtype, tuple[int, ...]] = {"float64": (5, 6, 7) if short else (4, 5, 6, 7, 8)}
    if not short:
        exponents["float32"] = (3, 4, 5, 6)
    for dtype, ks in exponents.items():
        tolerances = [Tolerance(10.0**-k, 10.0**-k) for k in ks]
        for solver, adjoint, rhs, kind in METHODS[library]:
            methods = [(solver, adjoint, rhs)]
            yield from gradient_cases(
                "w4", f"one gradient, {dtype}", problem, reference, library, methods, tolerances, dtype, kind=kind
            )
    steps = 50 if short else 500
    losses = references.training(problem, 20, RATE)
    tol = TRAINING_TOLERANCE
    for solver, adjoint, rhs, _ in METHODS[library]:
        row = Row(
            "w4",
            f"training, {steps} steps of Adam",
            library,
            f"{solver}, {adjoint}",
            rhs=rhs,
            rtol=tol.rtol,
            atol=tol.atol,
        )
        make = partial(_libraries.training, library, problem, solver, adjoint, tol, rhs=rhs, steps=steps, rate=RATE)
        yield Case(row, make, losses, last=True)
