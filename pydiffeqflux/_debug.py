"""Errors of our own: when they are raised, and how they are kept."""

import os
import traceback

VARIABLE = "PYDIFFEQFLUX_DEBUG"
"""The environment variable that is 1 where errors of our own are to be raised, not worked around."""


def debugging() -> bool:
    """Whether errors of our own are raised where the package could go on without what they prevent."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def without_frames(error: BaseException) -> BaseException:
    """An exception that can be kept: its traceback becomes a note, since frames keep the user's tensors alive."""
    if error.__traceback__ is not None:
        error.add_note("".join(traceback.format_tb(error.__traceback__)).rstrip())
    if isinstance(error, AttributeError):
        error.obj = None
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
