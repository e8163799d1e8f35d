"""What a solve leaves behind for its dense output and its adjoint."""

from dataclasses import dataclass, field

from torch import Tensor

from ._step import Method
from ._trajectory import CheckpointedTrajectory, Forward, Trajectory


@dataclass(eq=False)
class Record:
    """What a solve leaves behind.

    Attributes:
        u0: the state that the first step started from; a leaf of the graph where the solve was taped.
        taped: whether the steps carry a graph.
        method: the method that made the steps.
        trajectory: all steps, where they are needed.
        checkpoints: the trajectory to be recomputed, where that was asked for.
        u_end: the state at the end of the time span.
    """

    u0: Tensor
    taped: bool
    method: Method
    trajectory: Trajectory | None = None
    checkpoints: CheckpointedTrajectory | None = None
    u_end: Tensor | None = field(default=None, repr=False)

    @property
    def steps(self) -> Trajectory:
        """All steps, for strategies that keep them."""
        assert self.trajectory is not None
        return self.trajectory

    @property
    def forward(self) -> Forward:
        """The forward solution at any time, by checkpoints where there are any."""
        return self.checkpoints or self.steps
