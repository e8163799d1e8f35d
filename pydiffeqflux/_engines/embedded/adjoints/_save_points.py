"""Times with a cotangent, by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from .._trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class SavePoint:
    """A time with a cotangent.

    Attributes:
        step: index of the step it lies in.
        theta: relative position in the step, in (0, 1].
        row: row of the cotangents.
    """

    step: int
    theta: float
    row: int

    def relative_to(self, first: int) -> "SavePoint":
        """The same with steps counted from `first`."""
        return SavePoint(self.step - first, self.theta, self.row)


def save_points(trajectory: Trajectory, times: Sequence[float]) -> tuple[list[SavePoint], list[int]]:
    """The save points, and the rows of those at the very start."""
    points, at_start = [], []
    for row, t in enumerate(times):
        if t == trajectory.steps[0].t:
            at_start.append(row)
        else:
            points.append(SavePoint(*trajectory.locate(t), row))
    return points, at_start
