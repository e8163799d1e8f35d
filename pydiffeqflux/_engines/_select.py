"""Which engine carries out a solve."""

import importlib
import logging
import os
from functools import cache
from typing import Literal, cast, get_args

from .._algorithms import AbstractAlgorithm
from .._errors import InvalidOptionError, UnsupportedError
from .._problems import AbstractProblem
from .._sensealgs import AbstractSensealg
from ._base import AbstractEngine
from .embedded import EmbeddedEngine

logger = logging.getLogger("pydiffeqflux")

EngineName = Literal["auto", "julia", "embedded"]

VARIABLE = "PYDIFFEQFLUX_ENGINE"
"""The environment variable that says what `engine="auto"` takes."""

_EMBEDDED = EmbeddedEngine()
_said: set[str] = set()


def select_engine(
    name: EngineName, prob: AbstractProblem, alg: AbstractAlgorithm | None, sensealg: AbstractSensealg | None
) -> tuple[AbstractEngine, str]:
    """The engine of that name, which has checked what is asked of it, and why it is this one.

    `"auto"` takes the julia engine where it is set up and has what is asked for, else the embedded one, and says so in
    the log the first time.

    Raises:
        EngineUnavailableError: the engine cannot run here.
        InvalidOptionError: there is no such engine.
        UnsupportedError: the engine lacks something; the message says which other engine has it.
    """
    if name not in get_args(EngineName):
        raise InvalidOptionError(f"engine must be 'auto', 'julia' or 'embedded', not {name!r}.")
    if name == "auto":
        return _automatic(prob, alg, sensealg)
    engine = _julia() if name == "julia" else _EMBEDDED
    _check(engine, prob, alg, sensealg)
    return engine, f"engine={name!r} was asked for"


def automatic_engine() -> tuple[EngineName, str]:
    """The engine that `engine="auto"` takes if it has what is asked of it, and why.

    Raises:
        InvalidOptionError: `PYDIFFEQFLUX_ENGINE` names no engine.
    """
    wish = os.environ.get(VARIABLE, "auto")
    if wish not in get_args(EngineName):
        raise InvalidOptionError(f"{VARIABLE} is {wish!r}; it must be 'auto', 'julia' or 'embedded'.")
    if wish != "auto":
        return cast(EngineName, wish), f"{VARIABLE} says so"
    problem = importlib.import_module(".julia", __package__).find_installation().problem
    return ("embedded", problem) if problem else ("julia", "Julia is set up")


def _automatic(
    prob: AbstractProblem, alg: AbstractAlgorithm | None, sensealg: AbstractSensealg | None
) -> tuple[AbstractEngine, str]:
    name, reason = automatic_engine()
    if prob.is_julia_source:
        return select_engine("julia", prob, alg, sensealg)[0], "a JuliaSource runs on the julia engine only"
    try:
        engine, _ = select_engine(name, prob, alg, sensealg)
    except UnsupportedError as error:
        if name == "embedded" or os.environ.get(VARIABLE) == "julia":
            raise
        name, reason = "embedded", str(error)
        engine = _instead(error, prob, alg, sensealg)
    _say(f"engine='auto' takes the {name} engine: {reason}")
    return engine, reason


def _instead(
    refused: UnsupportedError, prob: AbstractProblem, alg: AbstractAlgorithm | None, sensealg: AbstractSensealg | None
) -> AbstractEngine:
    """The embedded engine in the place of julia's, which has refused.

    Raises:
        UnsupportedError: it refuses, too; both say why.
    """
    try:
        _check(_EMBEDDED, prob, alg, sensealg)
    except UnsupportedError as error:
        raise UnsupportedError(f"neither engine can do this. julia: {refused} embedded: {error}") from refused
    return _EMBEDDED


def _check(
    engine: AbstractEngine, prob: AbstractProblem, alg: AbstractAlgorithm | None, sensealg: AbstractSensealg | None
) -> None:
    try:
        engine.check(prob, engine.default_algorithm(prob) if alg is None else alg, sensealg)
    except UnsupportedError as error:
        if engine.name == "embedded" and not _julia_refuses(prob, alg, sensealg):
            raise UnsupportedError(f"{error} The julia engine has it.") from None
        raise


def _julia_refuses(prob: AbstractProblem, alg: AbstractAlgorithm | None, sensealg: AbstractSensealg | None) -> bool:
    """Whether the julia engine could not do it either; it need not be set up to know that."""
    julia = _julia()
    try:
        julia.check(prob, julia.default_algorithm(prob) if alg is None else alg, sensealg)
    except UnsupportedError:
        return True
    return False


@cache
def _julia() -> AbstractEngine:
    """The julia engine, imported where it is first wanted."""
    return importlib.import_module(".julia", __package__).JuliaEngine()


def _say(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.info(message)
