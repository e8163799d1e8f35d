"""Right-hand sides that jump at known times, and what is known of their solutions."""

import math

import torch

STOPS = ["tstops", "d_discontinuities"]
SWITCHES = {"before": torch.lt, "at": torch.le}

DOSE = (5.0, 5.02)
# u' = -u / 10 + p / width within the dose: u(10) = p (exp(width / 10) - 1) / (width / 10) exp(-(10 - 5) / 10)
DOSE_GRADIENT = math.expm1(0.1 * (DOSE[1] - DOSE[0])) / (0.1 * (DOSE[1] - DOSE[0])) * math.exp(-0.5)


def dose(u, p, t):
    inside = ((t >= DOSE[0]) & (t < DOSE[1])).to(u.dtype)
    return -0.1 * u + p * inside / (DOSE[1] - DOSE[0])


ENDS = (0.7, 1.1, 2.0)


def switching(before, ends=ENDS):
    """u' = p[i] u, i by the piece that t lies in; at an end it is the next one, or with torch.le still the last one."""

    def f(u, p, t):
        rate = torch.where(before(t, ends[0]), p[0], torch.where(before(t, ends[1]), p[1], p[2]))
        return rate * u

    return f
