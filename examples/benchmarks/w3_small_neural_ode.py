"""W3: diffrax's small neural ODE, forward and with the gradient of Σ u with respect to the weights.

Gradients are compared within one class of adjoint, and then over all. Errors are against float64 references in both
precisions.
"""

from collections.abc import Iterator, Sequence

from _cases import Method, Solvers, forward_cases, gradient_cases
from _problems import small_neural_ode
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, TORCH, Case, Dtype, Tolerance

TITLE = "Small neural ODE: MLP 4-32-4, batch 64"

SOLVERS: Solvers = {
    EMBEDDED: [("Tsit5", TORCH), ("DP5", TORCH)],
    JULIA: [(name, rhs) for rhs in (COMPILED, CALLED_BACK) for name in ("Tsit5", "Vern7")],
    "torchdiffeq": [("dopri5", TORCH)],
    "torchode": [("Tsit5", TORCH), ("Dopri5", TORCH)],
    "diffrax": [("Tsit5", "jax jit"), ("Dopri5", "jax jit")],
}
LIBRARIES = tuple(SOLVERS)

ADJOINTS: dict[str, dict[str, Sequence[Method]]] = {
    "direct": {
        EMBEDDED: [("Tsit5", "ReverseDiffAdjoint", TORCH), ("DP5", "ReverseDiffAdjoint", TORCH)],
        JULIA: [("Tsit5", "ReverseDiffAdjoint", COMPILED), ("Tsit5", "ReverseDiffAdjoint", CALLED_BACK)],
        "torchdiffeq": [("dopri5", "odeint", TORCH)],
        "torchode": [("Tsit5", "AutoDiffAdjoint", TORCH)],
        "diffrax": [("Tsit5", "RecursiveCheckpointAdjoint", "jax jit")],
    },
    "backsolve": {
        EMBEDDED: [("Tsit5", "BacksolveAdjoint", TORCH)],
        JULIA: [("Tsit5", "BacksolveAdjoint", COMPILED), ("Tsit5", "BacksolveAdjoint", CALLED_BACK)],
        "torchdiffeq": [("dopri5", "odeint_adjoint", TORCH)],
        "diffrax": [("Tsit5", "BacksolveAdjoint", "jax jit")],
    },
    "interpolating": {
        EMBEDDED: [("Tsit5", "InterpolatingAdjoint", TORCH), ("Tsit5", "GaussAdjoint", TORCH)],
        JULIA: [("Tsit5", "GaussAdjoint", COMPILED), ("Tsit5", "GaussAdjoint", CALLED_BACK)],
    },
}
"""By the class of the adjoint."""


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
                    f"{group}, gradient",
                    problem,
                    reference,
                    library,
                    methods.get(library, ()),
                    tolerances,
                    dtype,
                    kind=kind,
                )
