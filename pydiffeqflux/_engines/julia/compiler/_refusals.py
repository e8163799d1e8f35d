"""What the compiler refuses on purpose, told from what goes wrong inside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ...._debug import debugging, without_frames
from ._trace import CannotCompileError


class NotCoveredError(CannotCompileError):
    """A rule meets what it was not written for."""


def not_covered(reason: str) -> NoReturn:
    """Refuse, in a rule, what it was not written for.

    Arguments:
        reason: a phrase that names it, such as "powers of integers".
    """
    raise NotCoveredError(reason)


@contextmanager
def internal_errors(where: str) -> Iterator[None]:
    """Make an error of ours a refusal, since a user must not be stopped by it; under the debug setting it is raised.

    Arguments:
        where: the part of the compiler that is at work, such as "the rule for aten.mm".

    Raises:
        CannotCompileError: refusals as they are; in the place of other exceptions one that has them as its cause.
    """
    try:
        yield
    except CannotCompileError:
        raise
    except Exception as error:
        if debugging():
            error.add_note(f"in {where}")
            raise
        reason = f"there is an internal error in {where} ({type(error).__name__}: {error}); please report it"
        raise CannotCompileError(reason) from without_frames(error)
