"""W9: gradients with respect to parameters, the problems and tolerances of Ma et al. 2021.

Their tolerances (abstol 1e-5, reltol 1e-7) are the middle of the ladder. The loss is Σ (1 - u)² / 2 over save points.
Central differences, two solves a parameter, are run at their tolerances only.
"""

from collections.abc import Iterator, Sequence

from _cases import gradient_cases
from _libraries import FINITE_DIFFERENCES
from _problems import Problem, brusselator, lotka_volterra, pollution
from _references import References
from _rows import OURS, Case, Tolerance

TITLE = "Parameter gradients: Lotka-Volterra (3), POLLU (25), Brusselator (100)"

TOLERANCE = Tolerance(rtol=1e-7, atol=1e-5)
TOLERANCES = (Tolerance(rtol=1e-5, atol=1e-3), TOLERANCE, Tolerance(rtol=1e-9, atol=1e-7))

SENSEALGS = (
    "ForwardDiffSensitivity",
    "ReverseDiffAdjoint",
    "InterpolatingAdjoint",
    "QuadratureAdjoint",
    "GaussAdjoint",
)


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    for problem in [lotka_volterra()] if short else [lotka_volterra(), pollution(), brusselator()]:
        reference = references.gradient(problem)
        methods = _methods(library, problem)
        tolerances = (TOLERANCE,) if short else TOLERANCES
        yield from gradient_cases("w9", problem.name, problem, reference, library, methods, tolerances)
        if library == OURS:
            differences = [(methods[0][0], FINITE_DIFFERENCES)]
            yield from gradient_cases(
                "w9", problem.name, problem, reference, library, differences, [TOLERANCE], last=problem.u0.size > 20
            )


def _methods(library: str, problem: Problem) -> Sequence[tuple[str, str]]:
    """Solvers and adjoints: implicit ones on stiff problems, where the library has them."""
    if library == OURS:
        return [("Rodas5P" if problem.stiff else "Tsit5", name) for name in SENSEALGS]
    if library == "torchdiffeq":
        return [("dopri5", "odeint"), ("dopri5", "odeint_adjoint")]
    return [("Kvaerno5" if problem.stiff else "Tsit5", "RecursiveCheckpointAdjoint")]
