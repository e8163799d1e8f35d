"""W2: stiff problems, solutions at a ladder of tolerances.

torchdiffeq has explicit methods only (its implicit ones have a fixed step); it is run with a limit of steps, and what
fails is printed as a failure. torchode has explicit ones only and is left out.
"""

from collections.abc import Iterator

from _cases import Solvers, forward_cases
from _problems import hires, pollution, robertson, van_der_pol
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, SOURCE, TORCH, Case, ladder

TITLE = "Stiff problems: ROBER, HIRES, van der Pol, POLLU"

IN_TORCH = ("Rosenbrock23", "Rodas4", "Rodas5P", "KenCarp4", "RadauIIA5", "default")
IN_JULIA = ("Rodas5P", "FBDF", "RadauIIA5", "default")
IMPLICIT = ("Radau", "BDF", "LSODA")

SOLVERS: Solvers = {
    EMBEDDED: [(name, TORCH) for name in IN_TORCH],
    JULIA: [
        *((name, rhs) for rhs in (SOURCE, COMPILED) for name in IN_JULIA),
        *((name, CALLED_BACK) for name in ("Rodas5P", "FBDF")),
    ],
    "torchdiffeq": [("dopri5", TORCH)],
    "diffrax": [("Kvaerno5", "jax jit")],
    "scipy": [(name, rhs) for rhs in (TORCH, "numpy") for name in IMPLICIT],
}
LIBRARIES = tuple(SOLVERS)


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    problems = [robertson(), hires()] if short else [robertson(), hires(), van_der_pol(), pollution()]
    tolerances = ladder(4, 5, 1e-4) if short else ladder(3, 8, 1e-4)
    for problem in problems:
        reference = references.solution(problem)
        yield from forward_cases("w2", problem.name, problem, reference, library, SOLVERS[library], tolerances)
