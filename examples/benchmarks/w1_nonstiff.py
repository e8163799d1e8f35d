"""W1: non-stiff problems, solutions at a ladder of tolerances.

Lorenz is chaotic: an error grows by eight orders of magnitude until t = 20, so its ladder starts tight.
"""

from collections.abc import Iterator

from _cases import Solvers, forward_cases
from _problems import lorenz, lotka_volterra
from _references import References
from _rows import CALLED_BACK, COMPILED, EMBEDDED, JULIA, SOURCE, TORCH, Case, ladder

TITLE = "Non-stiff problems: Lorenz and Lotka-Volterra"

SOLVERS: Solvers = {
    EMBEDDED: [("Tsit5", TORCH), ("Vern7", TORCH)],
    JULIA: [(name, rhs) for rhs in (SOURCE, COMPILED, CALLED_BACK) for name in ("Tsit5", "Vern7")],
    "torchdiffeq": [("dopri5", TORCH), ("dopri8", TORCH)],
    "torchode": [("Tsit5", TORCH)],
    "diffrax": [("Tsit5", "jax jit"), ("Dopri8", "jax jit")],
    "scipy": [("RK45", TORCH), ("DOP853", TORCH), ("RK45", "numpy"), ("DOP853", "numpy")],
}
LIBRARIES = tuple(SOLVERS)


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    ladders = [
        (lorenz(), ladder(8, 9, 1e-3) if short else ladder(6, 12, 1e-3)),
        (lotka_volterra(), ladder(5, 7, 1e-3) if short else ladder(3, 10, 1e-3)),
    ]
    for problem, tolerances in ladders:
        reference = references.solution(problem)
        yield from forward_cases("w1", problem.name, problem, reference, library, SOLVERS[library], tolerances)
