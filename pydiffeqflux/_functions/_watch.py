"""Tensors that must not be written to between a solve and its gradient."""

from collections.abc import Iterable

from torch import Tensor


class Watch:
    """Tensors with their versions, which a write in place changes; those of inference mode have none."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._versions = {id(x): (x, x._version) for x in tensors if not x.is_inference()}

    def modified(self) -> list[Tensor]:
        """Those that were written to."""
        return [x for x, version in self._versions.values() if x._version != version]

    def forget_modified(self) -> None:
        """Leave those alone from now on that have been written to."""
        for x in self.modified():
            del self._versions[id(x)]
