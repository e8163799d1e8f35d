"""What a user function computes and reads, found out by the tracer of `torch.compile`.

The tracer (Dynamo) follows the function through Python and notes everything that it reads: attributes, closures,
globals, items of containers. Of these it makes *guards*, which are checked in compiled code when the function is looked
up again. So a function that has been traced is known for as long as everything that it has read is unchanged, and
tensors are inputs of what was traced, whichever they are. What the tracer cannot follow is refused.
"""

import builtins
import importlib
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx._lazy_graph_module import _LazyGraphModule
from torch.utils._python_dispatch import _disable_current_modes

from ._checks import DEPENDS_ON_VALUES, Checks
from ._graphs import arrays_among_inputs, results, simplify
from ._lines import innermost_line
from ._nesting import leaves, structure
from ._pure import TORCHSCRIPT, PureFunction, Refusal, Snapshot
from ._reachable import longest_container

VARIANTS = 32
"""So often a function is traced at one shape because something that it reads has changed."""

SHAPES = 64
"""At so many shapes functions of one code are traced."""


def find(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal | None:
    """The function at these arguments, if it has been traced before and what it reads is as it was then.

    Costs microseconds, and does not evaluate the function. `None` where nothing is known of it.
    """
    group = _group(function, arguments, create=False)
    return None if group is None else group.find(function, arguments)


def trace(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal:
    """As `find`, but a function of which nothing is known is traced; it is not evaluated for that."""
    group = _group(function, arguments, create=True)
    assert group is not None
    with _LOCK:
        return group.find(function, arguments) or group.trace(function, arguments)


# ---- groups of functions


@dataclass(eq=False)
class _Group:
    """Functions of one code, at one shape: they share what is traced where they read the same.

    Attributes:
        tracer: finds and traces them.
        refused: functions that could not be traced, and why.
        failures: why the latest ones could not be, since one could.
        count: how many times one was traced.
        too_many: whether functions of this code have been traced at so many shapes that this one is not.
    """

    tracer: "_Tracer" = field(default_factory=lambda: _Tracer())
    refused: weakref.WeakKeyDictionary[Any, Refusal] = field(default_factory=weakref.WeakKeyDictionary)
    failures: list[Refusal] = field(default_factory=list)
    count: int = 0
    too_many: bool = False

    def find(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal | None:
        found = self.tracer.find(function, arguments)
        if found is None and self.tracer.is_stale:
            self.tracer = _Tracer()
        if found is None and len(self.failures) >= _PATIENCE and not isinstance(function, torch.nn.Module):
            return self.failures[-1]
        if found is None:
            with suppress(TypeError):  # not hashable, or no weak references
                return self.refused.get(function)
        return found

    def trace(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal:
        if self.count == VARIANTS:
            return Refusal(
                f"it has been compiled {VARIANTS} times, each time with another number in it; pass what changes in p"
            )
        if self.too_many:
            return Refusal(f"it has been traced at {SHAPES} shapes of u and p; pad them to a few")
        length = longest_container(function)
        if length > LONGEST:
            found: Snapshot | Refusal = Refusal(
                f"it names a container of {length} items, too many to watch; use a tensor"
            )
        else:
            found = self.tracer.trace(function, arguments)
        if isinstance(found, Refusal):
            self.failures.append(found)
            with suppress(TypeError):
                self.refused[function] = found
        else:
            self.count += 1
            self.failures.clear()
        return found


LONGEST = 1000
"""The tracer looks at every item of containers, which takes long for longer ones."""

_PATIENCE = 3
"""So many functions of one code in a row are tried before others are refused untried, but for modules."""

_GROUPS: weakref.WeakKeyDictionary[Any, dict[Any, _Group]] = weakref.WeakKeyDictionary()
_LOCK = threading.RLock()  # torch traces one function at a time


def _group(function: Callable[..., Any], arguments: tuple[Any, ...], *, create: bool) -> _Group | None:
    owner, parts = _identity(function)
    # the order of keys, which guards do not tell apart, is that of the flat parameters
    key = (parts, structure(arguments), torch.is_grad_enabled())
    groups = _GROUPS.get(owner)
    if groups is None:
        if not create:
            return None
        groups = _GROUPS.setdefault(owner, {})
    group = groups.get(key)
    if group is None and create:
        group = groups.setdefault(key, _Group(too_many=len(groups) >= SHAPES))
    return group


def _identity(function: Callable[..., Any]) -> tuple[Any, Any]:
    """What functions share that may be the same: their code and the classes in their closure, or those of a module."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, FunctionType):
        return function.__code__, tuple(map(_kind_of_cell, function.__closure__ or ()))
    if isinstance(function, torch.nn.Module):
        return type(function), tuple(type(part).__qualname__ for part in function.children())
    return type(function), None


def _kind_of_cell(cell: CellType) -> str:
    try:
        return type(cell.cell_contents).__qualname__
    except ValueError:  # a variable that has no value yet
        return ""


# ---- the tracer


_SETTINGS = {
    "specialize_float": True,
    "specialize_int": True,
    "assume_static_by_default": True,
    "automatic_dynamic_shapes": False,
    "allow_rnn": True,
    "capture_scalar_outputs": True,
    "capture_dynamic_output_shape_ops": True,
    "skip_nnmodule_hook_guards": False,
    "suppress_errors": False,
    "recompile_limit": 4 * VARIANTS,
    "accumulated_recompile_limit": 1_000_000,
    "side_effect_replay_policy": "error",
}
"""The tracer's settings, whatever the user's own are: numbers and shapes are constants, side effects an error."""


class _Tracer:
    """A place for the tracer to keep functions in: it keeps what it traces with the code that it was called for.

    Attributes:
        is_stale: whether something has changed that the tracer's guards did not notice, so that it must begin anew.
    """

    def __init__(self) -> None:
        def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
            # outside of the tracer nothing happens
            return function(*arguments).clone() if torch.compiler.is_dynamo_compiling() else None

        # code and globals of its own, since the tracer writes to both
        self._globals = {"__name__": __name__, "__builtins__": builtins, "torch": torch}
        self._call = FunctionType(call.__code__.replace(), self._globals)
        self.is_stale = False
        self._find: Callable[..., Any] | None = None
        self._checks: weakref.WeakKeyDictionary[PureFunction, Checks] = weakref.WeakKeyDictionary()

    def find(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal | None:
        """The function, if it is known."""
        if self._find is None:
            return None
        snapshot = self._find(function, arguments)
        if snapshot is None:
            return None
        checks = self._checks[snapshot.function]
        self.is_stale = not checks.hold({"function": function, "arguments": arguments, "G": self._globals})
        return None if self.is_stale else checks.refusal or snapshot

    def trace(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Snapshot | Refusal:
        """Trace the function."""
        import torch._dynamo  # takes a second, which most solves do without

        if not hasattr(torch._dynamo.config, "side_effect_replay_policy"):
            return Refusal(f"torch {torch.__version__} cannot tell whether it has side effects, as torch 2.13 can")
        checks = Checks()
        settings = {name: value for name, value in _SETTINGS.items() if hasattr(torch._dynamo.config, name)}
        with _quiet(), _untimed(), torch._dynamo.config.patch(settings):
            try:
                snapshot = self._trace(function, arguments, checks)
            except Exception as error:  # whatever the tracer meets in the user's code
                return _explained(error)
        if snapshot is None:
            return Refusal("torch.compile is switched off")
        checks.refusal = checks.refusal or _refuse_graph(snapshot.function.graph)
        snapshot.function.adopt_roles(snapshot.inputs, [x for x in leaves(arguments) if isinstance(x, Tensor)])
        self._checks[snapshot.function] = checks
        self._find = _looking_up(self._call)
        return checks.refusal or snapshot

    def _trace(self, function: Callable[..., Any], arguments: tuple[Any, ...], checks: Checks) -> Snapshot | None:
        compiled = torch.compile(
            self._call, backend=_keep, fullgraph=True, dynamic=False, options={"guard_filter_fn": checks.look_at}
        )
        with _disable_current_modes():
            return compiled(function, arguments)


def _looking_up(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with what was traced of it before in its place, and nothing traced, as by `torch._dynamo.run`.

    That has to see to many things on each call, which takes a third of the look-up of a small function.
    """
    from torch._C._dynamo.eval_frame import set_eval_frame

    def look_up(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        before = set_eval_frame(False)
        try:
            return call(function, arguments)
        finally:
            set_eval_frame(before)

    return look_up


def _keep(graph: GraphModule, example_inputs: Sequence[Any]) -> Callable[..., tuple[Snapshot]]:
    """A backend of `torch.compile` that runs nothing: it hands out the graph and its inputs."""
    simplify(graph)
    _LazyGraphModule.force_recompile(graph)  # its function is what is called, without the detour through a module
    function = PureFunction(graph)
    arrays = arrays_among_inputs(graph)
    if not arrays:
        return lambda *inputs: (Snapshot(function, inputs),)

    def with_copies(*inputs: Tensor) -> tuple[Snapshot]:
        """Arrays of NumPy may be written to later, which torch does not notice."""
        return (Snapshot(function, tuple(x.clone() if i in arrays else x for i, x in enumerate(inputs))),)

    return with_copies


def _refuse_graph(graph: GraphModule) -> Refusal | None:
    """Why a graph is not what the function is, where that is so."""
    if len(results(graph)) != 1:
        return Refusal(_SIDE_EFFECTS)  # what is stored is returned too
    targets = [node.target for node in graph.graph.nodes if callable(node.target)]
    names = {getattr(target, "__name__", "") for target in targets}
    if not names.isdisjoint(("register_hook", "autograd_function_apply")):
        return Refusal(_OWN_GRADIENT)  # a graph keeps the first derivative only
    if any("_functorch" in (getattr(target, "__module__", None) or "") for target in targets):
        return Refusal("it uses torch.func or torch.vmap, which a graph cannot do inside of another transform")
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """What the tracer has to say is said in our words."""
    loggers = [logging.getLogger(name) for name in ("torch._dynamo", "torch._guards")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _untimed() -> Iterator[None]:
    """The tracer times its guards, for a log, after it has emptied the processor's caches: a third of a trace."""
    guards: Any = importlib.import_module("torch._dynamo.guards")
    timed = getattr(guards, "profile_guard_manager", None)
    if timed is None:
        yield
        return
    guards.profile_guard_manager = lambda *_: 0.0
    try:
        yield
    finally:
        guards.profile_guard_manager = timed


_SIDE_EFFECTS = "it changes something when it is called, which compiled code would not do"
_OWN_GRADIENT = "its gradient is made by a custom autograd.Function or by hooks"
_REASONS = {
    "Data-dependent": DEPENDS_ON_VALUES,
    "Could not guard on data-dependent": DEPENDS_ON_VALUES,
    "torch.jit": TORCHSCRIPT,
    "_CachedForward": TORCHSCRIPT,
    "backwards hooks": _OWN_GRADIENT,
    "Attempted to wrap sparse": "it uses sparse tensors",
    "Could not extract specialized integer": DEPENDS_ON_VALUES,
    "torch.autograd.grad": "it calls torch.autograd.grad",
    "marked as skipped": "it calls code that torch.compile does not look into",
    "Missing tp_iternext": "it uses a generator or an iterator",
    "side effects happened": _SIDE_EFFECTS,
}
"""Our words for the tracer's."""


def _explained(error: Exception) -> Refusal:
    text = str(error)
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__).strip()
    where = innermost_line(getattr(error, "real_stack", None) or ())
    said = text.partition("Developer debug context")[0]
    for words, reason in _REASONS.items():
        if words in said:
            return Refusal(reason, where)
    return Refusal(f"torch.compile cannot follow it: {first.rstrip('.')}", where)
