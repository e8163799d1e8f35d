"""Every exception and warning that pydiffeqflux raises on purpose."""

from typing import Any

from ._retcode import ReturnCode


class DiffEqError(Exception):
    """Base class of the exceptions of this package."""


class InvalidProblemError(DiffEqError, ValueError):
    """A problem, its initial value, time span or parameters cannot be used as given."""


class InvalidOptionError(DiffEqError, ValueError):
    """An option of `solve` has a value that cannot be used."""


class RightHandSideError(DiffEqError, RuntimeError):
    """The right-hand side returned something that is not a time derivative of the state.

    Exceptions raised *inside* a right-hand side are not wrapped: they reach the caller unchanged.
    """


class GradientError(DiffEqError, RuntimeError):
    """A gradient was asked for that cannot be computed correctly."""


class UnsupportedError(DiffEqError, NotImplementedError):
    """The engine lacks an algorithm, an adjoint or a problem kind. The message names what is missing."""


class EngineUnavailableError(DiffEqError, RuntimeError):
    """The requested engine cannot run on this machine."""


class SolverError(DiffEqError, RuntimeError):
    """A solve did not succeed, or its result was needed.

    Attributes:
        retcode: the [`ReturnCode`][pydiffeqflux.ReturnCode] of the solve.
        solution: what was solved before, a [`Solution`][pydiffeqflux.Solution]; `None` where it is at hand.
    """

    def __init__(self, message: str, retcode: ReturnCode, solution: Any = None) -> None:
        super().__init__(message)
        self.retcode = retcode
        self.solution = solution


class JuliaError(DiffEqError, RuntimeError):
    """Julia raised an exception.

    Attributes:
        julia_type: the name of its type in Julia.
        julia_message: its whole message.
        julia_backtrace: its message and backtrace, as Julia prints them.
    """

    def __init__(self, message: str, julia_type: str, julia_message: str, julia_backtrace: str) -> None:
        super().__init__(message)
        self.julia_type = julia_type
        self.julia_message = julia_message
        self.julia_backtrace = julia_backtrace


class JuliaWarning(UserWarning):
    """The julia engine works, but something about how it was started may cause trouble."""


class SolveWarning(UserWarning):
    """A solve that was asked not to raise ended early; the message names the return code and a remedy."""


class GradientWarning(UserWarning):
    """A gradient is zero for a reason that is probably a mistake."""
