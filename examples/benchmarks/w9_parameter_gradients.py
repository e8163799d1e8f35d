"""W9: gradients with respect to parameters, the problems and tolerances of Ma et al. 2021.

Their tolerances (abstol 1e-5, reltol 1e-7) are the middle of the ladder. The loss is Σ (1 - u)² / 2 over save points.
"""

from collections.abc import Iterator, Sequence

from _cases import gradient_cases
from _libraries import FINITE_DIFFERENCES
from _problems import Problem, brusselator, lotka_volterra, pollution
from _references import References
from _rows import Case, Tolerance

TITLE = "Parameter gradients: Lotka-Volterra (3), POLLU (25), Brusselator (100)"

TOLERANCES = (Tolerance(1e-5, 1e-3), Tolerance(1e-7, 1e-5), Tolerance(1e-9, 1e-7))
SHORT_TOLERANCES = TOLERANCES[1:2]

SENSEALGS = (
    "ForwardDiffSensitivity",
    "ReverseDiffAdjoint",
    "InterpolatingAdjoint",
    "QuadratureAdjoint",
    "GaussAdjoint",
    FINITE_DIFFERENCES,
)


def methods(library: str, problem: Problem) -> Sequence[tuple[str, str]]:
    """Solvers and adjoints: implicit ones on stiff problems, where the library has them."""
    if library == "pydiffeqflux":
        return [("Rodas5P" if problem.stiff else "Tsit5", name) for name in SENSEALGS]
    if library == "torchdiffeq":
        return [("dopri5", "odeint"), ("dopri5", "odeint_adjoint")]
    return [("Kvaerno5" if problem.stiff else "Tsit5", "RecursiveCheckpointAdjoint")]


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    problems = [lotka_volterra()] if short else [lotka_volterra(), pollution(), brusselator()]
    for problem in problems:
        yield from gradient_cases(
            "w9",
            problem.name,
            problem,
            references.gradient(problem),
            library,
            methods(library, problem),
            SHORT_TOLERANCES if short else TOLERANCES,
        )
