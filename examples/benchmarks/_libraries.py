"""One door to all libraries: a library and names in, a computation out. Libraries are imported when they are used."""

import importlib.metadata
import importlib.util

from _problems import Problem
from _rows import Run, Tolerance

FINITE_DIFFERENCES = "finite differences"

RHS = {"pydiffeqflux": "torch", "torchdiffeq": "torch", "diffrax": "jax jit"}
"""What a right-hand side is written in. SciPy takes either torch or numpy."""


def is_installed(library: str) -> bool:
    """Whether the library can be imported."""
    return importlib.util.find_spec(library) is not None


def version(library: str) -> str:
    """The installed version."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def forward(library: str, problem: Problem, solver: str, tol: Tolerance, *, rhs: str, dtype: str) -> Run:
    """One solve without gradients."""
    if library == "pydiffeqflux":
        import _pydiffeqflux

        return _pydiffeqflux.forward(problem, _pydiffeqflux.Method(solver), tol, dtype)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.forward(problem, solver, tol, dtype)
    if library == "diffrax":
        import _diffrax

        return _diffrax.forward(problem, solver, tol, dtype)
    import _scipy

    return _scipy.forward(problem, solver, tol, rhs)


def gradient(library: str, problem: Problem, solver: str, adjoint: str, tol: Tolerance, *, dtype: str) -> Run:
    """One solve, its loss and the gradient; `adjoint` is the library's own name of the method."""
    if library == "pydiffeqflux":
        import _pydiffeqflux

        if adjoint == FINITE_DIFFERENCES:
            return _pydiffeqflux.finite_differences(problem, _pydiffeqflux.Method(solver), tol)
        return _pydiffeqflux.gradient(problem, _pydiffeqflux.Method(solver, adjoint), tol, dtype)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.gradient(problem, solver, tol, dtype, adjoint=adjoint == "odeint_adjoint")
    import _diffrax

    return _diffrax.gradient(problem, solver, tol, dtype, adjoint=adjoint)


def training(
    library: str, problem: Problem, solver: str, adjoint: str, tol: Tolerance, *, steps: int, rate: float
) -> Run:
    """A training run by Adam."""
    if library == "pydiffeqflux":
        import _pydiffeqflux

        return _pydiffeqflux.training(problem, _pydiffeqflux.Method(solver, adjoint), tol, steps, rate)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.training(problem, solver, tol, steps, rate, adjoint=adjoint == "odeint_adjoint")
    import _diffrax

    return _diffrax.training(problem, solver, tol, steps, rate, adjoint=adjoint)
