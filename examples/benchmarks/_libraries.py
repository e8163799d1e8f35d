"""One door to all libraries: a library and names in, a computation out. Libraries are imported when they are used."""

import importlib.metadata
import importlib.util

from _problems import Problem
from _rows import EMBEDDED, JULIA, OURS, Run, Tolerance

from pydiffeqflux._engines.julia import find_installation

FINITE_DIFFERENCES = "finite differences"


def why_not(library: str) -> str:
    """Why the library cannot be measured here, empty if it can. Nothing is started to find out."""
    if library != EMBEDDED and library != JULIA and importlib.util.find_spec(library) is None:
        return "not installed"
    if library in (JULIA, "juliacall") and find_installation().problem:
        return "Julia is not set up"
    return "no adapter" if library == "diffeqpy" else ""


def version(library: str) -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("pydiffeqflux" if library in OURS else library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def forward(library: str, problem: Problem, solver: str, tol: Tolerance, *, rhs: str, dtype: str) -> Run:
    """One solve without gradients."""
    if library == EMBEDDED:
        import _pydiffeqflux

        return _pydiffeqflux.forward(problem, _pydiffeqflux.Method(solver), tol, dtype)
    if library == JULIA:
        import _pydiffeqflux_julia

        return _pydiffeqflux_julia.forward(problem, solver, tol, dtype, rhs=rhs)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.forward(problem, solver, tol, dtype)
    if library == "torchode":
        import _torchode

        return _torchode.forward(problem, solver, tol, dtype)
    if library == "diffrax":
        import _diffrax

        return _diffrax.forward(problem, solver, tol, dtype)
    import _scipy

    return _scipy.forward(problem, solver, tol, rhs)


def gradient(library: str, problem: Problem, solver: str, adjoint: str, tol: Tolerance, *, rhs: str, dtype: str) -> Run:
    """One solve, its loss and the gradient; `adjoint` is the library's own name of the method."""
    if library == EMBEDDED:
        import _pydiffeqflux

        if adjoint == FINITE_DIFFERENCES:
            return _pydiffeqflux.finite_differences(problem, _pydiffeqflux.Method(solver), tol)
        return _pydiffeqflux.gradient(problem, _pydiffeqflux.Method(solver, adjoint), tol, dtype)
    if library == JULIA:
        import _pydiffeqflux_julia

        return _pydiffeqflux_julia.gradient(problem, solver, adjoint, tol, dtype, rhs=rhs)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.gradient(problem, solver, tol, dtype, adjoint=adjoint == "odeint_adjoint")
    if library == "torchode":
        import _torchode

        return _torchode.gradient(problem, solver, tol, dtype)
    import _diffrax

    return _diffrax.gradient(problem, solver, tol, dtype, adjoint=adjoint)


def training(
    library: str, problem: Problem, solver: str, adjoint: str, tol: Tolerance, *, rhs: str, steps: int, rate: float
) -> Run:
    """A training run by Adam."""
    if library == EMBEDDED:
        import _pydiffeqflux

        return _pydiffeqflux.training(problem, _pydiffeqflux.Method(solver, adjoint), tol, steps, rate)
    if library == JULIA:
        import _pydiffeqflux_julia

        return _pydiffeqflux_julia.training(problem, solver, adjoint, tol, steps, rate, rhs=rhs)
    if library == "torchdiffeq":
        import _torchdiffeq

        return _torchdiffeq.training(problem, solver, tol, steps, rate, adjoint=adjoint == "odeint_adjoint")
    if library == "torchode":
        import _torchode

        return _torchode.training(problem, solver, tol, steps, rate)
    import _diffrax

    return _diffrax.training(problem, solver, tol, steps, rate, adjoint=adjoint)
