"""The peak of tensor memory during a computation, on any device."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensor storages that are alive at once while it is active.

    Storages made before are not counted. Every operation's results are noted; which of them are still alive is looked
    up each time the count has grown by another two per cent, so the peak is exact to that.

    Attributes:
        peak: the largest number of bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[Any, int]] = {}
        self._current = 0
        self._next_scan = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive and not torch.UntypedStorage._expired(self._alive[key][0]):
            return
        if key in self._alive:
            self._drop(key)
        self._alive[key] = (storage._weak_ref(), storage.nbytes())
        self._current += storage.nbytes()
        if self._current > self._next_scan:
            for old in [k for k, (weak, _) in self._alive.items() if torch.UntypedStorage._expired(weak)]:
                self._drop(old)
            self.peak = max(self.peak, self._current)
            self._next_scan = 1.02 * self.peak

    def _drop(self, key: int) -> None:
        weak, size = self._alive.pop(key)
        torch.UntypedStorage._free_weak_ref(weak)
        self._current -= size

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        for key in list(self._alive):
            self._drop(key)
