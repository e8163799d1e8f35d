r"""The gradient of the times at which a jump of the past is seen.

Where \( f \) jumps at a time \( t_b \), since a jump is seen there through a delay, a solution that jumps later has
followed the earlier \( f \) for longer: \( du = (f^- - f^+)\,dt_b \). And \( t_b \) is where the time that is seen,
\( α(u, p, t) \), is that of the jump, \( ξ \): \( dt_b = (dξ - dα) / (dα/dt) \).
"""

from itertools import zip_longest

import torch
from torch import Tensor

from ...._errors import GradientError
from ...._functions import RightHandSide
from .._problem_rhs import ProblemRhs
from .._sides import Sides, within
from .._step import Step
from ._past import SolvedPast


class MovingBreaks:
    """Moves states with the times at which jumps are seen, in a solve that records a graph.

    Arguments:
        rhs: the right-hand side.
        problem: the same for steps.
        sides: the discontinuities.
        past: the solution so far.
    """

    def __init__(self, rhs: RightHandSide, problem: ProblemRhs, sides: Sides, past: SolvedPast) -> None:
        assert rhs.delayed is not None
        self._rhs, self._problem, self._sides, self._past, self._delayed = rhs, problem, sides, past, rhs.delayed
        self._jumps: dict[float, Tensor] = {rhs.tspan[0]: torch.zeros((), dtype=torch.float64)}
        self._final = rhs.tspan[1]
        self._jumps_at_start = rhs.delayed.lags.neutral or not self._continues()

    def _continues(self) -> bool:
        """Whether the solution begins with what the history ends with."""
        (p, tensors), t0 = self._rhs.p, torch.tensor(self._delayed.t0, dtype=torch.float64)
        try:
            with torch.no_grad():
                end = self._rhs.space.to_real(self._delayed.history.state(tensors, p, t0, 0))
        except Exception:  # it need not be defined there
            return False
        return torch.allclose(end, self._rhs.u0, rtol=1e-9, atol=1e-12)

    def check(self) -> None:
        """Refuse the step that was made last if a delay with a gradient has seen a jump within it.

        Raises:
            GradientError: since the jump is not at the end of a step, its motion would be left out.
        """
        if not self._jumps_at_start:
            return
        start, slack = self._delayed.t0, self._delayed.resolution(self._delayed.t0)
        for one_delay in zip_longest(*self._delayed.calls):
            seen = [float(s.detach()) for s in one_delay if s is not None and s.requires_grad]
            if seen and min(seen) < start - slack and max(seen) > start + slack:
                raise GradientError(
                    f"a delay that has a gradient sees the jump at the start, t = {start:g}, in the middle of a step; "
                    "name it in constant_lags or dependent_lags, or let u0 be what the history ends with."
                )

    def moved(self, step: Step) -> Tensor:
        """The state at the end of a step to a breaking point, connected to its time where `f` jumps there."""
        u, t = step.u1, step.end
        low, high = step.seen
        now = self._rhs.time(min(max(t, low), high)).requires_grad_()
        k = self._problem(u, now)
        seen = [
            (s, jump) for s in self._delayed.calls[-1] for jump in self._jumps.items() if self._is_at(s, jump[0], t)
        ]
        if not seen:
            return u
        later = within(self._problem, self._sides.window(t, self._final, float("nan")))
        self._past.begin(t, self._final - t)
        with torch.no_grad():
            change = k.detach() - later(u.detach(), t)
            scale = torch.finfo(u.dtype).eps * (1.0 + k.abs().max())
        if bool(change.abs().max() <= 1e3 * scale):
            return u
        (s, (_, moved)) = seen[0]
        if len({float(s.detach()) for s, _ in seen}) > 1:
            raise GradientError("two jumps of the past are seen at the same time, which has no gradient there.")
        if not (s.requires_grad or moved.requires_grad):
            return u
        slopes = torch.autograd.grad(s, [now, u], retain_graph=True, allow_unused=True) if s.requires_grad else ()
        rate = sum(float((g * (1.0 if i == 0 else k.detach())).sum()) for i, g in enumerate(slopes) if g is not None)
        shift = (moved - (s - s.detach())) / (rate or 1.0)
        self._jumps[t] = shift
        return u + change * (shift - shift.detach()).to(u.device, u.dtype)

    def _is_at(self, s: Tensor, jump: float, now: float) -> bool:
        return abs(float(s.detach()) - jump) <= self._delayed.resolution(now)
