"""The running Julia: one per process, one call at a time."""

import ctypes
import importlib
import os
import subprocess
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..._errors import EngineUnavailableError, JuliaWarning
from ._arguments import first_difference
from ._errors import translate
from ._installation import DOCTOR, SETUP, Installation, find_installation, package_directory


class Handle:
    """An object that Julia keeps for as long as this one lives."""

    def __init__(self, bridge: "Bridge", number: int) -> None:
        self.number = number
        self._bridge = bridge

    def __del__(self) -> None:
        self._bridge.discard(self.number)


@dataclass(frozen=True)
class StartUp:
    """How long it took, in seconds, and which Julia it is."""

    julia: float
    packages: float
    version: str
    threads: int


class Bridge:
    """Calls the functions of the Julia package.

    Julia runs on the calling thread, with the GIL released, under one lock: threads may call at once and take turns.
    Nothing of Julia is handed out but numbers, so that no Julia object is ever freed outside of a turn; only `to_lux`
    gives values of juliacall to the user, and says what that means for threads.
    """

    def __init__(self, juliacall: Any, module: Any, start_up: StartUp) -> None:
        self.start_up = start_up
        self._juliacall = juliacall
        self._module = module
        self._functions: dict[str, Any] = {}
        self.lock = threading.RLock()
        self._discarded: deque[int] = deque()
        self._process = os.getpid()

    def call(self, name: str, *args: Any) -> Any:
        """`PyDiffEqFlux.name(args...)`.

        Raises:
            DiffEqError: whatever Julia raised, as an exception of this package.
            EngineUnavailableError: the process was forked after Julia had started.
        """
        try:
            return self.call_raw(name, *args)
        except self.JuliaError as error:
            translated = translate(error)
        raise translated

    def call_raw(self, name: str, *args: Any) -> Any:
        """The same, but raises juliacall's `JuliaError`."""
        if os.getpid() != self._process:
            raise EngineUnavailableError(
                "this process was forked after Julia had started, which Julia does not survive; start processes with "
                "multiprocessing's 'spawn' method, or solve with engine='embedded' here."
            )
        with self.lock:
            release = self._function("release")
            while self._discarded:
                release._jl_call_nogil(self._discarded.popleft())
            return self._function(name)._jl_call_nogil(*args)

    def _function(self, name: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = getattr(self._module, name)
        return function

    @property
    def JuliaError(self) -> type[Exception]:  # noqa: N802 - juliacall's name
        """The exception that `call_raw` raises."""
        return self._juliacall.JuliaError

    def keep(self, number: int) -> Handle:
        """A handle that lets Julia forget the object when it is deleted."""
        return Handle(self, number)

    def discard(self, number: int) -> None:
        """Let Julia forget an object at the next call. Any thread may call this at any time."""
        self._discarded.append(number)


_QUIET = {"PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "no"}

_bridge: Bridge | None = None
_starting = threading.Lock()


def start() -> Bridge:
    """The bridge; starts Julia at the first call.

    Raises:
        EngineUnavailableError: Julia is not set up here, or did not start; the message says what to run.
    """
    global _bridge
    with _starting:
        if _bridge is None:
            _bridge = _start(find_installation())
    return _bridge


def _start(installation: Installation) -> Bridge:
    if not installation.ready:
        raise EngineUnavailableError(f"the julia engine cannot run: {installation.problem}")
    if installation.source != "running":
        _check_import_order(installation)
    started = time.perf_counter()
    try:
        with warnings.catch_warnings(), _environment(installation):
            warnings.filterwarnings("ignore", message="torch was imported before juliacall")
            juliacall = importlib.import_module("juliacall")
    except subprocess.SubprocessError as error:
        raise EngineUnavailableError(
            f"the julia engine cannot run: {installation.executable} is not a working Julia; run {DOCTOR}."
        ) from error
    except Exception as error:
        raise EngineUnavailableError(f"Julia did not start ({error}); run {DOCTOR} and look at its output.") from error
    loading = time.perf_counter()
    space = juliacall.newmodule("PyDiffEqFluxBridge")
    try:
        space.seval("(path -> path in LOAD_PATH || push!(LOAD_PATH, path))")(str(package_directory()))
        space.seval("import PyDiffEqFlux")
    except juliacall.JuliaError as error:
        first = str(error.exception).splitlines()[0]
        raise EngineUnavailableError(
            f"Julia started, but its packages could not be loaded ({first}); run {SETUP} and look at its output."
        ) from error
    loaded = time.perf_counter()
    _check_layouts(str(space.PyDiffEqFlux.layouts()))
    _leave_gc_unsafe_region(space)
    version, threads = str(space.seval("string(VERSION)")), int(space.seval("Threads.nthreads()"))
    return Bridge(juliacall, space.PyDiffEqFlux, StartUp(loading - started, loaded - loading, version, threads))


@contextmanager
def _environment(installation: Installation) -> Iterator[None]:
    """What juliacall is to find in the environment while it is imported.

    Named the Julia and the project that setup tested, it does not ask juliapkg, which would install packages in the
    middle of a program where another package's wishes have changed.
    """
    ours = {} if "PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION" in os.environ else _QUIET
    if installation.source == "juliapkg":
        named = {"EXE": str(installation.executable), "PROJECT": str(installation.project)}
        ours = ours | {f"PYTHON_JULIACALL_{name}": value for name, value in named.items()}
    theirs = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in theirs.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_import_order(installation: Installation) -> None:
    """On some platforms torch and Julia bring clashing libraries, and the one that is imported first decides."""
    works = installation.tested.get("torch_first")
    if works is True:
        return
    if works is False:
        raise EngineUnavailableError(
            "on this machine Julia crashes the interpreter when torch is imported before it, as setup found out; write "
            "`import juliacall` before the first import of torch and pydiffeqflux."
        )
    warnings.warn(
        "torch was imported before juliacall, which crashes the interpreter on some platforms; it has not been tested "
        f"on this one: run {SETUP} to do so, or import juliacall before torch.",
        JuliaWarning,
        stacklevel=2,
    )


def _check_layouts(in_julia: str) -> None:
    """Structs are read and written by address: one field more on one side would be another one's value on the other."""
    difference = first_difference(in_julia)
    if difference:
        raise EngineUnavailableError(
            f"the Julia half of this package is of another version than the Python half: it has {difference}. Install "
            f"pydiffeqflux again and run {SETUP}."
        )


def _leave_gc_unsafe_region(space: Any) -> None:
    """Tell Julia's collector that this thread, between calls, is not running Julia code.

    Else a collection on any other thread would wait for this one for ever. Every entry into Julia restores the state
    for its own duration.
    """
    enter = ctypes.PYFUNCTYPE(ctypes.c_int8)(int(space.seval("UInt(cglobal(:jl_gc_safe_enter))")))
    enter()
