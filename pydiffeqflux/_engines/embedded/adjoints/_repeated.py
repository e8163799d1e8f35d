"""Gradients that can be differentiated again: the steps of a solve are repeated as one graph.

The step sizes are held fixed, as everywhere in reverse mode through the steps, so that the graph is the function of the
initial state and the parameters whose gradient `ReverseDiffAdjoint` returns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...._functions import RightHandSide, batched_vjp
from ..._time_slope import time_slope
from .._linear import DenseJacobian
from .._problem_rhs import mass_product
from .._protocols import Time
from .._sides import within
from .._trajectory import Trajectory
from ._save_points import save_points


class _ConnectedRhs:
    """`f` of tensors of the user's graph, for steps that are part of it."""

    def __init__(self, rhs: RightHandSide, owners: Sequence[Tensor]) -> None:
        self.shape, self.dtype, self.device = rhs.shape, rhs.dtype, rhs.device
        self.mass = mass_product(rhs)
        self._rhs = rhs
        self._call, *self._others = (function.at_owners(owners) for function in rhs.functions)

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        self._rhs.nf += 1
        return self._call(u, self._rhs.time(t))

    def diffusion(self, u: Tensor, t: Time) -> Tensor:
        (call,) = self._others
        return call(u, self._rhs.time(t))

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, DenseJacobian, Tensor | None]:
        assert isinstance(t, float)
        assert isinstance(ahead, float)
        rhs, n = self._rhs, self._rhs.numel
        rhs.njac += 1
        time = rhs.time(t).requires_grad_()
        x = u if u.requires_grad else u.detach().requires_grad_()
        k = self._call(x, time)
        rows, slope = batched_vjp(k, (x, time), rhs.identity.view(n, *rhs.shape), create_graph=True)
        matrix = u.new_zeros(n, n) if rows is None else rows.reshape(n, n)
        slope = None if slope is None else slope.view(self.shape)
        if ahead != 0.0 and rhs.time_by_differences:
            slope = time_slope(self, u, t, ahead, k)
        return k, DenseJacobian(matrix, rhs.mass_matrix, self.shape), slope if ahead != 0.0 else None


def gradients(
    trajectory: Trajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor, inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of `Σᵢ cotangentsᵢ · u(timesᵢ)` with respect to `inputs`, which are u0 and the owners of parameters."""
    points, at_start = save_points(trajectory, times)
    with torch.enable_grad():
        # one tensor may be several inputs, and one input be computed from another: each has a gradient of its own
        inputs = [x.view_as(x) for x in inputs]
        start, *owners = inputs
        connected = _ConnectedRhs(rhs, owners)
        u = rhs.space.to_real(start)
        outputs, vectors = [u for _ in at_start], [cotangents[row] for row in at_start]
        for i, old in enumerate(trajectory.steps):
            step = old.method.replay(within(connected, old.window), u, old.t, old.dt, old.ks)
            step.window = old.window
            for point in points:
                if point.step == i:
                    outputs.append(step.evaluate(connected, point.theta))
                    vectors.append(cotangents[point.row])
            u = step.u1
        pairs = [(output, v) for output, v in zip(outputs, vectors, strict=True) if output.requires_grad]
        wanted = [x for x in inputs if x.requires_grad]
        found = torch.autograd.grad(
            [output for output, _ in pairs], wanted, [v for _, v in pairs], create_graph=True, allow_unused=True
        )
    by_id = {id(x): g for x, g in zip(wanted, found, strict=True) if g is not None}
    return [by_id.get(id(x), torch.zeros_like(x)) for x in inputs]
