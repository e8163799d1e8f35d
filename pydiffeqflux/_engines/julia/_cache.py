"""What has become of the functions that were to be compiled."""

import threading
import warnings
import weakref
from dataclasses import dataclass, field

import torch

from ..._errors import JuliaWarning, UnsupportedError
from ..._functions import CheckedFunction, PureFunction, Refusal
from ._bridge import Bridge
from ._compiled import CompiledFunction, Needs, with_line
from .compiler._trace import CannotCompileError

VARIANTS = 32
"""So often a function is compiled because a number in a tensor that it reads has changed. Julia never frees code."""


@dataclass(eq=False)
class _Variants:
    """What was made of a function: several where tensors were read as numbers.

    Attributes:
        compiled: the compiled ones.
        refusal: why no other can be made.
    """

    compiled: list[CompiledFunction] = field(default_factory=list)
    refusal: CannotCompileError | None = None


class Cache:
    """Compiles user functions, once each, and remembers those that cannot be compiled.

    What is compiled belongs to what a function computes: functions that do the same with other tensors share it, and it
    is freed when the last of them is gone.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._variants: weakref.WeakKeyDictionary[PureFunction, _Variants] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()  # torch traces one function at a time

    def get(self, rhs: CheckedFunction, needs: Needs, *, required: bool) -> CompiledFunction | None:
        """The compiled function, or `None` where it must be called back; says so the first time.

        Raises:
            UnsupportedError: it was `required` and is not possible; the message says why.
        """
        refusal: Refusal | CannotCompileError | None = rhs.refusal
        if rhs.snapshot is not None:
            # engines run without gradients, where some functions would do other things
            with self._lock, torch.set_grad_enabled(rhs.connection is not None):
                found = self._find_or_make(rhs, rhs.snapshot.function)
                if isinstance(found, CompiledFunction):
                    refusal = found.prepare(rhs, needs)
                    if refusal is None:
                        return found
                else:
                    refusal = found
        assert refusal is not None
        self._announce(rhs.name, refusal, required=required)
        return None

    def _find_or_make(self, rhs: CheckedFunction, function: PureFunction) -> CompiledFunction | CannotCompileError:
        variants = self._variants.get(function)
        if variants is None:
            variants = self._variants[function] = _Variants()
        for compiled in variants.compiled:
            if compiled.is_current(rhs):
                return compiled
        if variants.refusal is None:
            try:
                return self._make(rhs, variants)
            except CannotCompileError as error:
                variants.refusal = with_line(error, rhs)
        return variants.refusal

    def _make(self, rhs: CheckedFunction, variants: _Variants) -> CompiledFunction:
        if len(variants.compiled) == VARIANTS:
            raise CannotCompileError(
                f"it has been compiled {VARIANTS} times, each time with another number in it; pass what changes in p"
            )
        compiled = CompiledFunction(self._bridge, rhs)
        variants.compiled.append(compiled)
        return compiled

    def _announce(self, name: str, refusal: Refusal | CannotCompileError, *, required: bool) -> None:
        if required:
            cause = refusal if isinstance(refusal, Exception) else None
            raise UnsupportedError(
                f"{name} cannot be compiled to Julia: {refusal}. Leave compile out to have it called back."
            ) from cause
        if not refusal.announced:
            refusal.announced = True
            warnings.warn(
                f"{name} is called back from Julia, which is slower than compiled code, since {refusal}; compile=False "
                "silences this.",
                JuliaWarning,
                stacklevel=2,
            )
