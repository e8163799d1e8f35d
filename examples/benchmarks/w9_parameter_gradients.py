"""W9: gradients with respect to parameters, the problems and tolerances of Ma et al. 2021.

Their tolerances (abstol 1e-5, reltol 1e-7) are the middle of the ladder. The loss is Σ (1 - u)² / 2 over save points.
Central differences, two solves a parameter, are run at their tolerances only. torchode, explicit, has a part in the
problem that is not stiff.
"""

from collections.abc import Iterator, Sequence

from _cases import Method, gradient_cases
from _libraries import FINITE_DIFFERENCES
from _problems import Problem, brusselator, lotka_volterra, pollution
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, SOURCE, TORCH, Case, Tolerance

TITLE = "Parameter gradients: Lotka-Volterra (3), POLLU (25), Brusselator (100)"

LIBRARIES = (EMBEDDED, JULIA, "torchdiffeq", "torchode", "diffrax")

TOLERANCE = Tolerance(rtol=1e-7, atol=1e-5)
TOLERANCES = (Tolerance(rtol=1e-5, atol=1e-3), TOLERANCE, Tolerance(rtol=1e-9, atol=1e-7))

IN_TORCH = (
    "ForwardDiffSensitivity",
    "ReverseDiffAdjoint",
    "InterpolatingAdjoint",
    "QuadratureAdjoint",
    "GaussAdjoint",
)
IN_JULIA = (
    ("ForwardDiffSensitivity", SOURCE),
    ("GaussAdjoint", SOURCE),
    ("InterpolatingAdjoint", SOURCE),
    ("ReverseDiffAdjoint", COMPILED),
    ("GaussAdjoint", COMPILED),
    ("InterpolatingAdjoint", COMPILED),
    ("ReverseDiffAdjoint", CALLED_BACK),
    ("GaussAdjoint", CALLED_BACK),
    ("InterpolatingAdjoint", CALLED_BACK),
)


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    for problem in [lotka_volterra()] if short else [lotka_volterra(), pollution(), brusselator()]:
        reference = references.gradient(problem)
        methods = _methods(library, problem)
        tolerances = (TOLERANCE,) if short else TOLERANCES
        yield from gradient_cases("w9", problem.name, problem, reference, library, methods, tolerances)
        if library == EMBEDDED:
            differences = [(methods[0][0], FINITE_DIFFERENCES, TORCH)]
            yield from gradient_cases(
                "w9", problem.name, problem, reference, library, differences, [TOLERANCE], last=problem.u0.size > 20
            )


def _methods(library: str, problem: Problem) -> Sequence[Method]:
    """Solvers and adjoints: implicit ones on stiff problems, where the library has them."""
    if library == EMBEDDED:
        return [("Rodas5P" if problem.stiff else "Tsit5", name, TORCH) for name in IN_TORCH]
    if library == JULIA:
        return [("Rodas5P" if problem.stiff else "Tsit5", name, rhs) for name, rhs in IN_JULIA]
    if library == "torchdiffeq":
        return [("dopri5", "odeint", TORCH), ("dopri5", "odeint_adjoint", TORCH)]
    if library == "torchode":
        return [] if problem.stiff else [("Tsit5", "AutoDiffAdjoint", TORCH)]
    return [("Kvaerno5" if problem.stiff else "Tsit5", "RecursiveCheckpointAdjoint", "jax jit")]
