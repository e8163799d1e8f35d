"""Which sensealg works for which right-hand side on the julia engine, and why not where it does not."""

import torch

from ... import _algorithms as algs
from ..._errors import GradientError, UnsupportedError
from ..._functions import RightHandSide, SourceRightHandSide, leaves
from ..._sensealgs import (
    FORWARD_MODE_LIMIT,
    AbstractSensealg,
    BacksolveAdjoint,
    ForwardDiffSensitivity,
    ForwardSensitivity,
    GaussAdjoint,
    GaussKronrodAdjoint,
    InterpolatingAdjoint,
    QuadratureAdjoint,
    ReverseDiffAdjoint,
    TrackerAdjoint,
    TrackerVJP,
)
from ._choices import CONTINUOUS
from ._discrete import REVERSIBLE, can_reverse, takes_tangents

DISCRETE = (ForwardDiffSensitivity, ReverseDiffAdjoint, TrackerAdjoint)
"""Differentiation of the solver itself."""

SENSEALGS: tuple[type[AbstractSensealg], ...] = (
    GaussAdjoint,
    GaussKronrodAdjoint,
    QuadratureAdjoint,
    InterpolatingAdjoint,
    BacksolveAdjoint,
    ForwardDiffSensitivity,
    ForwardSensitivity,
    ReverseDiffAdjoint,
    TrackerAdjoint,
)

JACOBIAN_LIMIT = 2000
"""Above this many states no dense Jacobian is made for Julia; its solvers then take the products that they need by
finite differences."""

NOT_AVAILABLE = {
    "ZygoteAdjoint": "Zygote cannot differentiate solvers that work in place",
    "EnzymeAdjoint": "Enzyme does not pass through the function wrappers that spare a compilation for every f",
    "MooncakeAdjoint": "Mooncake does not pass through the function wrappers that spare a compilation for every f",
    "SteadyStateAdjoint": "it differentiates steady states, for which there is no problem class yet",
    "ForwardLSS, AdjointLSS, NILSS, NILSAS": "they differentiate long-time averages, not the values of a solution",
}
"""SciMLSensitivity's other methods, and the reason why they are not here."""


def refuse_sensealg(sensealg: AbstractSensealg, alg: algs.AbstractAlgorithm, *, source: bool, mass_matrix: bool) -> str:
    """Why a gradient cannot be computed so, as a sentence with what to use instead; empty where it can."""
    if not isinstance(sensealg, SENSEALGS):
        return f"the julia engine has no {sensealg!r}; it has {', '.join(f'{cls.__name__}()' for cls in SENSEALGS)}."
    if not source:
        if isinstance(sensealg, ReverseDiffAdjoint):
            return _refuse_discrete(alg)
        if not isinstance(sensealg, CONTINUOUS):
            return (
                f"{sensealg!r} differentiates with Julia's AD, which cannot see into a torch function; use "
                "GaussAdjoint() or ReverseDiffAdjoint(), write f as a JuliaSource, or use the embedded engine."
            )
        if sensealg.autojacvec is not None:
            return f"{sensealg!r}: the vector-Jacobian products of a torch function are torch's; leave autojacvec out."
    if isinstance(sensealg, GaussAdjoint | GaussKronrodAdjoint | QuadratureAdjoint) and (
        isinstance(sensealg.autojacvec, TrackerVJP) or sensealg.autojacvec is True
    ):
        # QuadratureAdjoint would take them, and return a gradient of the parameters that it never wrote to
        return (
            f"{sensealg!r} differentiates with respect to parameters by ReverseDiffVJP() or finite differences (False) "
            "only; use these, leave autojacvec out, or use InterpolatingAdjoint."
        )
    if isinstance(sensealg, GaussAdjoint | GaussKronrodAdjoint) and sensealg.checkpointing and mass_matrix:
        return f"{sensealg!r} cannot checkpoint with a mass matrix; leave checkpointing out."
    if isinstance(sensealg, ReverseDiffAdjoint | TrackerAdjoint) and _has_rosenbrock(alg):
        return (
            f"{sensealg!r} cannot record {alg!r}, which takes the time derivative of f by forward mode; use "
            "KenCarp4(), FBDF(), or GaussAdjoint()."
        )
    if isinstance(sensealg, TrackerAdjoint | ForwardSensitivity) and mass_matrix:
        return f"{sensealg!r} does not handle mass matrices; use GaussAdjoint() or ForwardDiffSensitivity()."
    return ""


def _refuse_discrete(alg: algs.AbstractAlgorithm) -> str:
    """The same for reverse mode through the steps of a torch function."""
    if isinstance(alg, algs.DefaultODEAlgorithm) or can_reverse(alg):
        return ""
    return (
        f"ReverseDiffAdjoint() of a torch function cannot repeat the steps of {alg!r}, only those of {REVERSIBLE} "
        "and switches between them; use one of these, or GaussAdjoint()."
    )


def _has_rosenbrock(alg: algs.AbstractAlgorithm) -> bool:
    if isinstance(alg, algs.AutoAlgSwitch):
        return _has_rosenbrock(alg.stiffalg)
    return isinstance(alg, algs.AbstractRosenbrock | algs.DefaultODEAlgorithm)


def refuse_for(rhs: RightHandSide, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg) -> str:
    """As `refuse_sensealg`, for one right-hand side."""
    if is_discrete(rhs, sensealg) and rhs.numel > JACOBIAN_LIMIT and takes_tangents(alg):
        return (
            f"ReverseDiffAdjoint() needs the Jacobian in every step of {alg!r}, which is made up to {JACOBIAN_LIMIT} "
            f"states only, not for {rhs.numel}; use GaussAdjoint()."
        )
    source, mass_matrix = isinstance(rhs, SourceRightHandSide), rhs.mass_matrix is not None
    return refuse_sensealg(sensealg, alg, source=source, mass_matrix=mass_matrix)


def is_discrete(rhs: RightHandSide, sensealg: AbstractSensealg | None) -> bool:
    """Whether the gradient is made by our own reverse mode through the steps, and not by a package of Julia's."""
    return isinstance(sensealg, ReverseDiffAdjoint) and not isinstance(rhs, SourceRightHandSide)


def check_sensealg(rhs: RightHandSide, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg) -> None:
    """Refuse what would fail or be wrong.

    Raises:
        UnsupportedError: with the reason and what to use instead.
        GradientError: the gradient with respect to u0 is asked for of a method that does not have it.
    """
    reason = refuse_for(rhs, alg, sensealg)
    if reason:
        raise UnsupportedError(reason)
    if isinstance(sensealg, ForwardSensitivity) and rhs.u0_requires_grad:
        raise GradientError(
            "ForwardSensitivity() does not compute the gradient with respect to u0; use ForwardDiffSensitivity() or "
            "GaussAdjoint(), or pass u0.detach()."
        )


def check_checkpoints(sensealg: AbstractSensealg, tspan: tuple[float, float], dtype: torch.dtype) -> None:
    """Refuse checkpoints where SciMLSensitivity 7.112 fails.

    Backwards in time it looks them up out of bounds, which can crash; from states of single precision it makes problems
    of double precision, whose solutions have no place among the others.

    Raises:
        UnsupportedError: with what to use instead.
    """
    if isinstance(sensealg, InterpolatingAdjoint | GaussAdjoint | GaussKronrodAdjoint) and sensealg.checkpointing:
        remedy = "leave checkpointing out, or use BacksolveAdjoint()"
        if tspan[1] < tspan[0]:
            raise UnsupportedError(f"{sensealg!r} cannot checkpoint a solve backwards in time; {remedy}.")
        if dtype == torch.float32:
            raise UnsupportedError(f"{sensealg!r} cannot checkpoint float32 states; use float64, {remedy}.")


def brings_vjp(rhs: SourceRightHandSide, sensealg: AbstractSensealg | None) -> bool:
    """Whether a source is differentiated by forward mode in itself, which spares compiling the adjoint for it.

    That is so where the user chose no other way and it is cheap, up to 100 states and parameters together.
    """
    if not isinstance(sensealg, CONTINUOUS) or sensealg.autojacvec is not None:
        return False
    return rhs.numel + sum(leaf.numel() for leaf in leaves(rhs.p)) <= FORWARD_MODE_LIMIT


def support_matrix() -> str:
    """The table of sensealgs and right-hand sides for ODEs on the julia engine, in Markdown."""
    rows = [
        "| sensealg, julia engine | torch function or module | `JuliaSource` | `JuliaSource`, Rosenbrock method |",
        "|---|---|---|---|",
    ]
    for cls in SENSEALGS:
        cells = (
            refuse_sensealg(cls(), alg, source=source, mass_matrix=False)
            for alg, source in ((algs.Rodas5P(), False), (algs.KenCarp4(), True), (algs.Rodas5P(), True))
        )
        rows.append(f"| `{cls.__name__}` | " + " | ".join("no" if cell else "yes" for cell in cells) + " |")
    return "\n".join([*rows, "", *(f"- {name}: {reason}." for name, reason in NOT_AVAILABLE.items())])
