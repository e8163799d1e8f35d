"""Julia's exceptions as ours."""

import sys
from typing import Any, NamedTuple

from ..._errors import DiffEqError, GradientError, InvalidOptionError, InvalidProblemError, JuliaError, UnsupportedError

_BROKEN = "If it is not your code, please report it with `error.julia_backtrace`."


_AD_NUMBERS = ("ForwardDiff.Dual", "ReverseDiff.Tracked", "Tracker.Tracked")
"""The numbers that Julia's automatic differentiation passes to `f`."""


def translate(error: Any) -> DiffEqError:
    """The exception of this package that a `juliacall.JuliaError` stands for."""
    kind, message, backtrace = _describe(error)
    first = next((line.strip() for line in message.splitlines() if line.strip()), kind)
    return _choose(kind, first, message, backtrace)


def _choose(kind: str, first: str, message: str, backtrace: str) -> DiffEqError:
    met_ad = kind == "MethodError" and any(number in message for number in _AD_NUMBERS)
    match "FirstAutodiffJacError" if met_ad else kind:
        case "SourceError":
            return InvalidProblemError(f"JuliaSource: {first} Write a function f(du, u, p, t) or f(u, p, t).")
        case "ParameterError":
            return InvalidProblemError(f"these are not parameters or a state of this network: {first}")
        case "UnknownNameError":
            return UnsupportedError(first)
        case "NotGenericError":
            return GradientError(
                "Julia's automatic differentiation cannot see into a right-hand side that lives in Python; use "
                "GaussAdjoint(), or write f as a JuliaSource."
            )
        case "AdjointFailed":
            return GradientError(
                f"the adjoint solve did not reach the start of the time span: {first} Use GaussAdjoint() or another "
                "algorithm, raise maxiters, or loosen the tolerances."
            )
        case "ArgumentError" if "mass matrices" in first:
            return UnsupportedError(first.removeprefix("ArgumentError: "))
        case "NotRepeatable":
            remedy = "Use GaussAdjoint(), or the embedded engine"
            return GradientError(f"reverse mode through the steps failed: {first} {remedy}.")
        case "ParseError" | "LoadError" | "UndefVarError" | "ErrorException" if "JuliaSource" in message:
            return JuliaError(f"the JuliaSource cannot be used: {first}. Correct the code.", kind, message, backtrace)
        case "FirstAutodiffJacError" | "FirstAutodiffTgradError":
            return JuliaError(
                "Julia's automatic differentiation failed in f: leave its number types open (zero(u[1]), not 0.0), or "
                "give an implicit algorithm finite differences: JuliaAlgorithm(..., autodiff=JuliaAlgorithm("
                "'AutoFiniteDiff', package='ADTypes')).",
                kind,
                message,
                backtrace,
            )
        case "MethodError" if "got unsupported keyword argument" in message:
            return InvalidOptionError(f"{first}; see the documentation of the Julia function for its options.")
        case "CheckInitFailureError":
            return InvalidProblemError(
                f"u0 does not satisfy the algebraic equations of the mass matrix ({first.rstrip('.')}); start from a "
                "consistent u0."
            )
        case "DerivativeOrderNotPossibleError":
            return InvalidOptionError(
                "the dense output of this method is a polynomial of lower degree than derivative."
            )
        case "SingularException":
            remedy = "The iteration matrix is singular: check the model and its mass matrix."
        case "OutOfMemoryError":
            remedy = "Save less (saveat), or use BacksolveAdjoint() or checkpointing."
        case "UndefVarError" | "MethodError" | "BoundsError" | "DimensionMismatch":
            remedy = "Check the code of the JuliaSource, or the options."
        case _:
            remedy = _BROKEN
    return JuliaError(f"Julia raised {kind}: {first}. {remedy}", kind, message, backtrace)


class _Description(NamedTuple):
    """What Julia says of an exception."""

    kind: str
    message: str
    backtrace: str


def _describe(error: Any) -> _Description:
    """What there is to say of an exception; never raises itself."""
    juliacall: Any = sys.modules["juliacall"]
    exception = error.exception
    try:
        kind = str(juliacall.Base.nameof(juliacall.Base.typeof(exception)))
        message = str(juliacall.Base.sprint(juliacall.Base.showerror, exception))
    except Exception:  # a showerror method that fails must not hide the error
        return _Description(type(error).__name__, "its message cannot be shown", "")
    try:
        backtrace = str(error)
    except Exception:
        backtrace = ""
    return _Description(kind, message, backtrace)
