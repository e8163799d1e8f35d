"""References: solutions and gradients at tolerances near 1e-13, in float64.

Solutions come from SciPy (DOP853, or Radau for stiff problems) with a numpy right-hand side. Where SciPy is missing,
and for networks and all gradients, they come from this package: Vern7 or Rodas5P with ReverseDiffAdjoint. Losses of
training runs are this package's at tolerance 1e-10. References are kept in the results folder; delete the files to have
them computed again.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _problems import Array, Network, Problem
from _rows import Outcome, Reference, Run, Tolerance

if TYPE_CHECKING:
    from _pydiffeqflux import Method

SOLUTION = Tolerance(1e-12, 1e-15)
STIFF_SOLUTION = Tolerance(1e-11, 1e-15)
GRADIENT = Tolerance(1e-12, 1e-13)
STIFF_GRADIENT = Tolerance(1e-10, 1e-13)
TRAINING = Tolerance(1e-10, 1e-10)


class References:
    """Computes references, or reads them from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def solution(self, problem: Problem) -> Reference:
        """The saved states."""
        return self._cached(f"{problem.key}-solution", lambda: Reference(us=_solution(problem)))

    def gradient(self, problem: Problem) -> Reference:
        """The saved states and the gradient of the loss."""
        return self._cached(f"{problem.key}-gradient", lambda: _gradient(problem))

    def training(self, problem: Problem, steps: int, rate: float) -> Reference:
        """The losses of a training run."""
        return self._cached(f"{problem.key}-training-{steps}", lambda: _training(problem, steps, rate))

    def _cached(self, name: str, compute: Callable[[], Reference]) -> Reference:
        path = self.folder / f"reference-{name}.npz"
        if not path.exists():
            reference = compute()
            self.folder.mkdir(parents=True, exist_ok=True)
            arrays = {key: value for key in FIELDS if (value := getattr(reference, key)) is not None}
            np.savez(path, **arrays)
        with np.load(path) as stored:
            return Reference(**{key: stored[key] for key in FIELDS if key in stored})


FIELDS = ("us", "gradient", "losses")


def _solution(problem: Problem) -> Array:
    tol = STIFF_SOLUTION if problem.stiff else SOLUTION
    if importlib.util.find_spec("scipy") is not None and not isinstance(problem.system, Network):
        import _scipy

        run = _scipy.forward(problem, "Radau" if problem.stiff else "DOP853", tol, "numpy")
    else:
        import _pydiffeqflux as ours

        run = ours.forward(problem, _method(problem), tol)
    return np.asarray(_checked(problem, run).us)


def _gradient(problem: Problem) -> Reference:
    import _pydiffeqflux as ours

    outcome = _checked(problem, ours.gradient(problem, _method(problem), STIFF_GRADIENT if problem.stiff else GRADIENT))
    return Reference(us=outcome.us, gradient=outcome.gradient)


def _training(problem: Problem, steps: int, rate: float) -> Reference:
    import _pydiffeqflux as ours

    run = ours.training(problem, _method(problem), TRAINING, steps, rate)
    return Reference(losses=_checked(problem, run).losses)


def _method(problem: Problem) -> "Method":
    from _pydiffeqflux import Method

    return Method("Rodas5P" if problem.stiff else "Vern7", "ReverseDiffAdjoint", maxiters=1_000_000)


def _checked(problem: Problem, run: Run) -> Outcome:
    outcome = run.read(run.call())
    if outcome.failure:
        raise RuntimeError(f"the reference of {problem.name} failed: {outcome.failure}")
    return outcome
