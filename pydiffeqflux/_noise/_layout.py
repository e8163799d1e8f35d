"""How noise enters an equation."""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor


class NoiseKind(Enum):
    """The kinds of noise."""

    DIAGONAL = "diagonal"
    SCALAR = "scalar"
    GENERAL = "general"


@dataclass(frozen=True)
class NoiseLayout:
    """How increments of a Brownian motion multiply what the diffusion returns.

    Attributes:
        kind: one motion for every element of the state, one for every row of a batch, or several for every row.
        shape: that of an increment.
        ndim: the number of axes of a state.
    """

    kind: NoiseKind
    shape: torch.Size
    ndim: int

    @classmethod
    def of(cls, state: torch.Size, output: torch.Size) -> "NoiseLayout | None":
        """The layout for states and outputs of the diffusion of these shapes, `None` where there is none."""
        if output == state:
            return cls(NoiseKind.DIAGONAL, state, len(state))
        if len(output) == len(state) + 1 and output[:-1] == state and output[-1] > 0:
            kind = NoiseKind.SCALAR if output[-1] == 1 else NoiseKind.GENERAL
            return cls(kind, torch.Size((*state[:-1], output[-1])), len(state))
        return None

    @property
    def is_elementwise(self) -> bool:
        """Whether every element of the state has one motion, which may be that of others as well."""
        return self.kind is not NoiseKind.GENERAL

    def coefficient(self, g: Tensor) -> Tensor:
        """The output of the diffusion; where the noise is elementwise, in the shape of the state."""
        return g.squeeze(-1) if self.kind is NoiseKind.SCALAR else g

    def spread(self, w: Tensor) -> Tensor:
        """Increments; where the noise is elementwise, in a shape that broadcasts against the state."""
        return w.squeeze(-1) if self.kind is NoiseKind.SCALAR and self.ndim == 0 else w

    def product(self, g: Tensor, w: Tensor) -> Tensor:
        """The product of a coefficient and spread increments, in the shape of the state."""
        if self.is_elementwise:
            return g * w
        if self.ndim == 0:
            return (g * w).sum(-1)
        return (g @ w.unsqueeze(-1)).squeeze(-1)
