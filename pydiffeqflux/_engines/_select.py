"""Which engine carries out a solve."""

import logging
from typing import Literal

from .._errors import EngineUnavailableError, InvalidOptionError
from ._base import AbstractEngine
from .embedded import EmbeddedEngine

logger = logging.getLogger("pydiffeqflux")

EngineName = Literal["auto", "julia", "embedded"]

_EMBEDDED = EmbeddedEngine()
_said: set[str] = set()


def select_engine(name: EngineName) -> AbstractEngine:
    """The engine of that name; `"auto"` takes the best one that is ready and says so once in the log.

    Raises:
        EngineUnavailableError: the engine cannot run here.
        InvalidOptionError: there is no such engine.
    """
    if name == "julia":
        raise EngineUnavailableError(
            "the julia engine is not part of this version of pydiffeqflux; use engine='embedded' or engine='auto'."
        )
    if name not in ("auto", "embedded"):
        raise InvalidOptionError(f"engine must be 'auto', 'julia' or 'embedded', not {name!r}.")
    if name == "auto" and name not in _said:
        _said.add(name)
        logger.info("engine='auto' takes the embedded engine")
    return _EMBEDDED
