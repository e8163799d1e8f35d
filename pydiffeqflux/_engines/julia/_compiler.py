"""The cache of compiled right-hand sides: which problems can share one."""

import threading
import warnings
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch

from ..._errors import JuliaWarning, UnsupportedError
from ..._fingerprint import Fingerprint
from ..._parameters import structure
from ..._problems import ODEProblem
from ..._rhs import Probe, RightHandSide
from ._bridge import Bridge
from ._compiled import CompiledFunction, Needs, with_line
from .compiler._trace import CannotCompileError

VARIANTS = 32
"""So often a function is compiled because a number that it reads has changed. Julia never frees code."""

Result = CompiledFunction | CannotCompileError


@dataclass(frozen=True, eq=False)
class Signature:
    """What compiled code depends on: everything but the numbers in tensors.

    Attributes:
        kind: the shapes and dtypes of `u` and `p`, and what torch was told for all operations.
        fingerprint: what `f` reads.
        gradients: whether gradients were enabled, which is part of the kind.
    """

    kind: Any
    fingerprint: Fingerprint
    gradients: bool

    @property
    def identity(self) -> Any:
        """The same for problems of one kind whose `f` reads the same objects."""
        return self.kind, tuple(map(id, self.fingerprint.objects))


def _signature(prob: ODEProblem) -> Signature:
    gradients = torch.is_grad_enabled()
    modes = gradients, torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
    return Signature((prob.u0.shape, prob.u0.dtype, structure(prob.p), modes), Fingerprint(prob.f), gradients)


class CompilableRightHandSide(RightHandSide):
    """A right-hand side that may be compiled.

    Attributes:
        signature: what it can share a compiled function by.
    """

    def __init__(self, prob: ODEProblem, probe: Probe | None, signature: Signature) -> None:
        super().__init__(prob, probe, signature.fingerprint.tensors)
        self.signature = signature


@dataclass(eq=False)
class _Group:
    """What became of the functions of one kind that read the same objects.

    Attributes:
        held: weak references to the objects, or those that cannot be watched themselves.
        results: by the values of their fingerprints; several where tensors were read as numbers.
        refused: why no other can be compiled.
        count: how many were compiled.
    """

    held: list[Any]
    results: dict[Any, list[Result]] = field(default_factory=dict)
    refused: CannotCompileError | None = None
    count: int = 0

    def get(self, signature: Signature) -> Result | None:
        """What became of a function, if that is known."""
        for result in self.results.get(signature.fingerprint.value, ()):
            if isinstance(result, CannotCompileError) or result.is_current(signature.fingerprint.tensors):
                return result
        return self.refused


class Compiler:
    """Compiles right-hand sides, once each, and remembers those that cannot be compiled."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._groups: dict[Any, _Group] = {}
        self._unwatched: deque[Any] = deque()  # the groups that are not forgotten by themselves
        self._lock = threading.RLock()  # torch traces one function at a time

    def right_hand_side(self, prob: ODEProblem, *, required: bool) -> RightHandSide:
        """The right-hand side of a problem; `f` is not evaluated for it where it has been compiled already.

        Raises:
            UnsupportedError: compilation was `required`, and what `f` reads cannot be found out.
        """
        try:
            signature = _signature(prob)
        except Exception as error:  # objects may do anything when they are looked at
            reason = f"what it reads cannot be found out ({type(error).__name__}: {error})"
            self._announce(CannotCompileError(reason), required=required)
            return RightHandSide(prob, captured=())
        with self._lock:
            found = self._get(signature)
            known = isinstance(found, CompiledFunction)
            probe = found.probe(signature.fingerprint.tensors) if known else None
        rhs = CompilableRightHandSide(prob, probe, signature)
        if found is None:
            if rhs.probe is None:
                rhs(rhs.u0.clone(), prob.tspan[0])
            rhs.signature = _signature(prob)  # that first call of f may have filled a cache of its own
        return rhs

    def get(self, rhs: CompilableRightHandSide, needs: Needs, *, required: bool) -> CompiledFunction | None:
        """The compiled function, or `None` where it must be called back; says so the first time.

        Raises:
            UnsupportedError: it was `required` and is not possible; the message says why.
        """
        # engines run without gradients, where some functions would do other things
        with self._lock, torch.set_grad_enabled(rhs.signature.gradients):
            found = self._get(rhs.signature) or self._make(rhs)
            if isinstance(found, CompiledFunction):
                found = found.prepare(rhs, rhs.signature.fingerprint.tensors, needs) or found
        if isinstance(found, CompiledFunction):
            return found
        self._announce(found, required=required)
        return None

    def _announce(self, refusal: CannotCompileError, *, required: bool) -> None:
        if required:
            raise UnsupportedError(
                f"f cannot be compiled to Julia: {refusal}. Leave compile out to have it called back."
            )
        if not refusal.announced:
            refusal.announced = True
            warnings.warn(
                f"f is called back from Julia, which is slower than compiled code, since {refusal}; compile=False "
                "silences this.",
                JuliaWarning,
                stacklevel=2,
            )

    def _get(self, signature: Signature) -> Result | None:
        group = self._groups.get(signature.identity)
        return None if group is None else group.get(signature)

    def _make(self, rhs: CompilableRightHandSide) -> Result:
        signature = rhs.signature
        group = self._groups.get(signature.identity)
        if group is None:
            group = self._new_group(signature)
        if group.count == VARIANTS:
            group.refused = CannotCompileError(
                f"it has been compiled {VARIANTS} times, each time with another number in it; pass what changes in p"
            )
            return group.refused
        group.count += 1
        result: Result
        try:
            result = self._compile(rhs)
        except CannotCompileError as error:
            result = with_line(error, rhs)
        if not _is_same(Fingerprint(rhs.function), signature.fingerprint):
            result = group.refused = CannotCompileError("it changes something that it reads, when it is called")
        group.results.setdefault(signature.fingerprint.value, []).append(result)
        return result

    def _compile(self, rhs: CompilableRightHandSide) -> CompiledFunction:
        fingerprint = rhs.signature.fingerprint
        if any(isinstance(thing, torch.jit.ScriptModule) for thing in fingerprint.objects):
            raise CannotCompileError("it has parts in TorchScript, whose attributes cannot be watched")
        return CompiledFunction(self._bridge, rhs, fingerprint.tensors)

    def _new_group(self, signature: Signature) -> _Group:
        """A group that is forgotten when one of its objects dies, whose address may become another one's.

        Tensors are not among them: functions that do the same with other tensors share what is compiled.
        """
        groups, identity = self._groups, signature.identity

        def forget(_: object) -> None:
            groups.pop(identity, None)

        objects = signature.fingerprint.objects
        watched = [_can_be_watched(thing) for thing in objects]
        group = _Group([weakref.ref(x, forget) if watch else x for x, watch in zip(objects, watched, strict=True)])
        self._groups[identity] = group
        if not all(watched):
            self._unwatched.append(identity)
            if len(self._unwatched) > VARIANTS:
                groups.pop(self._unwatched.popleft(), None)
        return group


def _is_same(a: Fingerprint, b: Fingerprint) -> bool:
    return a.value == b.value and all(x is y for x, y in zip(a.tensors, b.tensors, strict=True))


def _can_be_watched(thing: Any) -> bool:
    return type(thing).__weakrefoffset__ != 0
