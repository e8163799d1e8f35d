"""W1: non-stiff problems, solutions at a ladder of tolerances.

Lorenz is chaotic: an error grows by eight orders of magnitude until t = 20, so its ladder starts tight.
"""

from collections.abc import Iterator

from _cases import Solvers, forward_cases
from _problems import lorenz, lotka_volterra
from _references import References
from _rows import Case, ladder

TITLE = "Non-stiff problems: Lorenz and Lotka-Volterra"

SOLVERS: Solvers = {
    "pydiffeqflux": [("Tsit5", "torch"), ("Vern7", "torch")],
    "torchdiffeq": [("dopri5", "torch"), ("dopri8", "torch")],
    "diffrax": [("Tsit5", "jax jit"), ("Dopri8", "jax jit")],
    "scipy": [("RK45", "torch"), ("DOP853", "torch"), ("RK45", "numpy"), ("DOP853", "numpy")],
}


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    ladders = [
        (lorenz(), ladder(8, 9, 1e-3) if short else ladder(6, 12, 1e-3)),
        (lotka_volterra(), ladder(5, 7, 1e-3) if short else ladder(3, 10, 1e-3)),
    ]
    for problem, tolerances in ladders:
        reference = references.solution(problem)
        yield from forward_cases("w1", problem.name, problem, reference, library, SOLVERS[library], tolerances)
