"""What the tests of this folder share: the engines with what each has, and a problem that is solved by a formula."""

import pytest
import torch
from problems import CONTINUOUS, DISCRETE

import pydiffeqflux as de

ENGINES = ("embedded", "julia")
ADJOINTS = {
    "embedded": (*DISCRETE, *CONTINUOUS),
    # of a torch function, which Julia's own AD does not see into
    "julia": (de.ReverseDiffAdjoint(), *CONTINUOUS, de.GaussKronrodAdjoint()),
}

VARIANTS = (
    de.InterpolatingAdjoint(checkpointing=True),
    de.GaussAdjoint(checkpointing=True),
    de.BacksolveAdjoint(checkpointing=False),
)


def on(engine, *values, slow=False):
    """One parameter set, marked by what it needs."""
    marks = [pytest.mark.julia] if engine == "julia" else []
    return pytest.param(engine, *values, marks=[*marks, pytest.mark.slow] if slow else marks)


def engines():
    """Every engine."""
    return [on(engine) for engine in ENGINES]


def keeps_tolerances(engine, alg):
    """Whether the error of a method is to be within ten tolerances.

    Julia's KenCarp4 filters its error estimate: at 1e-4 its error is 180 of them for `linear` of the textbook problems,
    in plain Julia as here (0.0181304; without `smooth_est` 0.000149).
    """
    return engine == "embedded" or not isinstance(alg, de.KenCarp4)


def engines_and(algorithms):
    """Every engine with every one of some methods."""
    return [on(engine, alg) for engine in ENGINES for alg in algorithms if keeps_tolerances(engine, alg)]


def engines_and_adjoints():
    """Every engine with every sensealg that it has for torch functions.

    On the embedded engine the variants of a sensealg are slow tests, since they differ in what they keep only.
    """
    return [
        on(engine, sensealg, slow=engine == "embedded" and sensealg in VARIANTS)
        for engine in ENGINES
        for sensealg in ADJOINTS[engine]
    ]


def engines_adjoints_and(spans):
    """The same with every one of some time spans, but for what SciMLSensitivity cannot do: checkpoint backwards."""
    return [
        on(engine, sensealg, span, slow=engine == "embedded" and sensealg in VARIANTS)
        for engine in ENGINES
        for sensealg in ADJOINTS[engine]
        for span in spans
        if can_go_along(engine, sensealg, span)
    ]


def can_go_along(engine, sensealg, span):
    """Whether an engine has a sensealg in this direction of time."""
    backsolve = isinstance(sensealg, de.BacksolveAdjoint)
    return engine == "embedded" or span[0] < span[1] or backsolve or not getattr(sensealg, "checkpointing", False)


def clock(t, t0):
    """The time that a rate of 1 + cos(t) / 2 makes of that between t0 and t."""
    t, t0 = torch.as_tensor(t, dtype=torch.float64), torch.as_tensor(t0, dtype=torch.float64)
    return t - t0 + (torch.sin(t) - torch.sin(t0)) / 2


def hopf(u, p, t):
    """The normal form of a Hopf bifurcation on a clock that runs unevenly: nonlinear, coupled and non-autonomous.

    `u` has the two components in its last axis, `p` the growth rate and the angular velocity.
    """
    x, y = u.unbind(-1)
    a, w = p.unbind(-1)
    pull = a * (1 - x * x - y * y)
    return (1 + torch.cos(t) / 2) * torch.stack([pull * x - w * y, w * x + pull * y], dim=-1)


def hopf_solution(u0, p, t, t0):
    """The solution at the times `t`, the first axis: the squared radius is logistic, the angle grows evenly."""
    s = clock(t, t0)[(...,) + (None,) * (u0.ndim - 1)]
    a, w = p.unbind(-1)
    x, y = u0.unbind(-1)
    r0 = x * x + y * y
    scale = torch.exp(a * s) / torch.sqrt(1 - r0 + r0 * torch.exp(2 * a * s))
    c, d = torch.cos(w * s), torch.sin(w * s)
    return scale[..., None] * torch.stack([c * x - d * y, d * x + c * y], dim=-1)


def cannot_checkpoint(engine, alg, sensealg):
    """What SciMLSensitivity cannot: with Gauss's rules it has checkpoints for explicit methods only."""
    gauss = isinstance(sensealg, de.GaussAdjoint | de.GaussKronrodAdjoint)
    return engine == "julia" and gauss and sensealg.checkpointing and (alg is None or alg.is_stiff)
