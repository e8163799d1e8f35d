"""W3: diffrax's small neural ODE, forward and with the gradient of Σ u with respect to the weights.

Gradients are compared within one class of adjoint. Errors are against float64 references in both precisions.
"""

from collections.abc import Iterator, Sequence

from _cases import Solvers, forward_cases, gradient_cases
from _problems import small_neural_ode
from _references import References
from _rows import Case, Dtype, Tolerance

TITLE = "Small neural ODE: MLP 4-32-4, batch 64"

SOLVERS: Solvers = {
    "pydiffeqflux": [("Tsit5", "torch"), ("DP5", "torch")],
    "torchdiffeq": [("dopri5", "torch")],
    "diffrax": [("Tsit5", "jax jit"), ("Dopri5", "jax jit")],
}

Methods = Sequence[tuple[str, str]]

ADJOINTS: dict[str, dict[str, Methods]] = {
    "direct": {
        "pydiffeqflux": [("Tsit5", "ReverseDiffAdjoint"), ("DP5", "ReverseDiffAdjoint")],
        "torchdiffeq": [("dopri5", "odeint")],
        "diffrax": [("Tsit5", "RecursiveCheckpointAdjoint")],
    },
    "backsolve": {
        "pydiffeqflux": [("Tsit5", "BacksolveAdjoint")],
        "torchdiffeq": [("dopri5", "odeint_adjoint")],
        "diffrax": [("Tsit5", "BacksolveAdjoint")],
    },
    "interpolating": {"pydiffeqflux": [("Tsit5", "InterpolatingAdjoint"), ("Tsit5", "GaussAdjoint")]},
}


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    t1 = 10.0 if short else 100.0
    exponents = (5, 6) if short else (4, 5, 6, 7)
    tolerances = [Tolerance(10.0**-k, 10.0**-k) for k in exponents]
    dtypes: tuple[Dtype, ...] = ("float64",) if short else ("float64", "float32")
    for saves in (100,) if short else (2, 100):
        problem = small_neural_ode(t1, saves=saves)
        reference = references.gradient(problem)
        for dtype in dtypes:
            group = f"{problem.name}, {dtype}"
            yield from forward_cases(
                "w3", f"{group}, forward", problem, reference, library, SOLVERS[library], tolerances, dtype
            )
            for kind, methods in ADJOINTS.items():
                yield from gradient_cases(
                    "w3",
                    f"{group}, gradient, {kind}",
                    problem,
                    reference,
                    library,
                    methods.get(library, ()),
                    tolerances,
                    dtype,
                )
