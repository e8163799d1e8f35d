"""Whether the dtype of a state can tell the times of a problem apart."""

import torch

from ._errors import InvalidProblemError

LEAST_TIMES = 100
"""A time span with fewer representable times cannot be stepped through."""


def check_time_resolution(tspan: tuple[float, float], dtype: torch.dtype) -> None:
    """Refuse a time span in which `f` would hardly see the time move: it receives `t` in the precision of the state.

    Raises:
        InvalidProblemError: the span has fewer than a hundred representable times.
    """
    t0, t1 = tspan
    spacing = torch.finfo(dtype).eps * max(abs(t0), abs(t1))
    if abs(t1 - t0) < LEAST_TIMES * spacing:
        raise InvalidProblemError(
            f"times near {t1:.6g} are {spacing:.2g} apart in the precision of u0 ({dtype}), too coarse for the time "
            f"span {tspan}; use a float64 state, or shift time so that it starts near zero."
        )
