"""The cache of compiled right-hand sides: which problems can share one."""

import threading
import warnings
import weakref
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch

from ..._errors import JuliaWarning, UnsupportedError
from ..._parameters import structure
from ..._problems import ODEProblem
from ..._rhs import Probe, RightHandSide
from ._bridge import Bridge
from ._compiled import CompiledFunction, Needs, with_line
from .compiler._fingerprint import Fingerprint
from .compiler._trace import CannotCompileError

VARIANTS = 32
"""So many compiled functions are kept of one function that is made anew, with other values, for every solve."""

Result = CompiledFunction | CannotCompileError


@dataclass(frozen=True, eq=False)
class Signature:
    """What compiled code depends on: everything but the numbers in tensors.

    Attributes:
        value: equal for problems that can share a compiled function.
        objects: what counts by identity in it.
    """

    value: Any
    objects: list[Any]


class CompilableRightHandSide(RightHandSide):
    """A right-hand side that may be compiled.

    Attributes:
        signature: what it can share a compiled function by.
    """

    def __init__(self, prob: ODEProblem, probe: Probe | None, signature: Signature) -> None:
        super().__init__(prob, probe)
        self.signature = signature


class Compiler:
    """Compiles right-hand sides, once each, and remembers those that cannot be compiled."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._known: dict[int, _Variants] = {}
        self._lock = threading.RLock()  # torch traces one function at a time

    def right_hand_side(self, prob: ODEProblem) -> CompilableRightHandSide:
        """The right-hand side of a problem; `f` is not evaluated for it where it has been compiled already."""
        of_f = Fingerprint(prob.f)
        value = (prob.u0.shape, prob.u0.dtype, structure(prob.p), torch.is_grad_enabled(), of_f.value)
        signature = Signature(value, of_f.objects)
        found = self._variants(prob.f).get(signature)
        probe = found.probe if isinstance(found, CompiledFunction) else None
        return CompilableRightHandSide(prob, probe, signature)

    def get(self, rhs: CompilableRightHandSide, needs: Needs, *, required: bool) -> CompiledFunction | None:
        """The compiled function, or `None` where it must be called back; says so the first time.

        Raises:
            UnsupportedError: it was `required` and is not possible; the message says why.
        """
        with self._lock:
            found = self._find(rhs, needs)
        if isinstance(found, CompiledFunction):
            return found
        if required:
            raise UnsupportedError(f"f cannot be compiled to Julia: {found}. Leave compile out to have it called back.")
        if not found.announced:
            found.announced = True
            warnings.warn(
                f"f is called back from Julia, which is slower than compiled code, since {found}; compile=False "
                "silences this.",
                JuliaWarning,
                stacklevel=2,
            )
        return None

    def _find(self, rhs: CompilableRightHandSide, needs: Needs) -> Result:
        variants = self._variants(rhs.function)
        found = variants.get(rhs.signature)
        if isinstance(found, CannotCompileError):
            return found
        result: Result
        try:
            result = CompiledFunction(self._bridge, rhs) if found is None else found
            result.prepare(rhs, needs)
        except CannotCompileError as error:
            result = with_line(error, rhs)
        if result is not found:
            variants.put(rhs.signature, result)
        return result

    def _variants(self, f: Any) -> "_Variants":
        owner = _owner(f)
        variants = self._known.get(id(owner))
        if variants is None:
            variants = _Variants()
            if _can_be_watched(owner):  # else it is compiled for this solve only
                weakref.finalize(owner, self._known.pop, id(owner), None)
                self._known[id(owner)] = variants
        return variants


def _owner(f: Any) -> Any:
    """What lives as long as compiled code of `f` can be of use: closures and bound methods come and go."""
    if isinstance(f, partial):
        return _owner(f.func)
    if isinstance(f, MethodType):
        return f.__self__
    return f.__code__ if isinstance(f, FunctionType) else f


class _Variants:
    """What became of one function in its latest variants, by their signatures."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[Result, list[Any]]] = {}

    def get(self, signature: Signature) -> Result | None:
        found = self._found.get(signature.value)
        return None if found is None else found[0]

    def put(self, signature: Signature, result: Result) -> None:
        """Keep a result while everything that the signature names is alive."""
        value, found = signature.value, self._found

        def forget(_: object) -> None:
            found.pop(value, None)

        # an object is watched, or else kept alive, so that its address cannot become that of another one
        held = [weakref.ref(thing, forget) if _can_be_watched(thing) else thing for thing in signature.objects]
        found.pop(value, None)
        found[value] = result, held
        while len(found) > VARIANTS:
            found.pop(next(iter(found)), None)


def _can_be_watched(thing: Any) -> bool:
    return type(thing).__weakrefoffset__ != 0
