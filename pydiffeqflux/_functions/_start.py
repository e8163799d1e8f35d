"""Where a solve starts, if not at the values that were given."""

from abc import ABC, abstractmethod

from torch import Tensor


class Start(ABC):
    """Initial values that were found, and their gradient."""

    @abstractmethod
    def pull_back(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor]]:
        """From the cotangent of the state at the start to that of the given one, and gradients of all parameters."""
