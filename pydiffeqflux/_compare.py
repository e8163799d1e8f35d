"""All sensitivity algorithms on one problem, side by side."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._algorithms import AbstractAlgorithm
from ._errors import DiffEqError, GradientError, InvalidOptionError
from ._functions import leaves, replace_leaves
from ._memory import PeakMemory
from ._problems import AbstractProblem, remake
from ._sensealgs import (
    AbstractSensealg,
    BacksolveAdjoint,
    ForwardDiffSensitivity,
    GaussAdjoint,
    InterpolatingAdjoint,
    QuadratureAdjoint,
    ReverseDiffAdjoint,
)
from ._solution import Solution
from ._solve import solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_SENSEALGS: tuple[AbstractSensealg, ...] = (
    ForwardDiffSensitivity(),
    ReverseDiffAdjoint(),
    GaussAdjoint(),
    InterpolatingAdjoint(),
    InterpolatingAdjoint(checkpointing=True),
    QuadratureAdjoint(),
    BacksolveAdjoint(),
)


@dataclass(frozen=True, slots=True)
class SensealgResult:
    """One row of a comparison.

    Attributes:
        sensealg: the method.
        error: `|g - g_ref| / |g_ref|`, g the gradient with respect to everything that requires one.
        forward: seconds of a solve and its loss, median.
        backward: seconds of the backward pass, median.
        memory: peak bytes of tensors alive during both, the problem's own excluded.
        nf: evaluations of `f` in the solve.
        nf_adjoint: evaluations of `f` in the backward pass.
        failure: why there is no result, or `None`.
    """

    sensealg: AbstractSensealg
    error: float = math.nan
    forward: float = math.nan
    backward: float = math.nan
    memory: int = 0
    nf: int = 0
    nf_adjoint: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class SensealgComparison:
    """The result of [`compare_sensealgs`][]; prints as a table.

    Attributes:
        rows: one result per method, in the order asked for.
        reference: what the errors are measured against, in words.
    """

    rows: tuple[SensealgResult, ...]
    reference: str

    def __str__(self) -> str:
        header = ("sensealg", "gradient error", "forward ms", "backward ms", "peak MiB", "nf", "nf adjoint")
        table: list[tuple[str, ...]] = [header]
        for row in self.rows:
            name = repr(row.sensealg)
            if row.failure is not None:
                table.append((name, "failed", "", "", "", "", ""))
                continue
            times = (f"{1e3 * row.forward:.1f}", f"{1e3 * row.backward:.1f}", f"{row.memory / 2**20:.2f}")
            table.append((name, f"{row.error:.1e}", *times, str(row.nf), str(row.nf_adjoint)))
        widths = [max(len(line[i]) for line in table) for i in range(len(header))]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in table
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        lines += [f"{row.sensealg!r} failed: {row.failure}" for row in self.rows if row.failure is not None]
        return "\n".join([*lines, f"errors relative to {self.reference}"])

    def plot(self) -> "Figure":
        """Gradient error against time and memory, one point a method. Needs matplotlib."""
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
        done = [row for row in self.rows if row.failure is None]
        tiny = min((row.error for row in done if row.error > 0), default=1e-16)
        for i, row in enumerate(done):
            error = row.error if row.error > 0 else tiny
            style: dict[str, Any] = {
                "color": f"C{i}",
                "marker": "osD^vPX*"[i % 8],
                "linestyle": "none",
                "markersize": 9,
            }
            axes[0].plot(1e3 * (row.forward + row.backward), error, label=repr(row.sensealg), **style)
            axes[1].plot(row.memory / 2**20, error, **style)
        axes[0].set(
            xscale="log", yscale="log", xlabel="forward and backward, ms", ylabel="relative error of the gradient"
        )
        axes[1].set(xscale="log", xlabel="peak tensor memory, MiB")
        for values, set_limits in (
            ([1e3 * (row.forward + row.backward) for row in done], axes[0].set_xlim),
            ([row.memory / 2**20 for row in done], axes[1].set_xlim),
            ([max(row.error, tiny) for row in done], axes[0].set_ylim),
        ):
            set_limits(*_decades(values))
        for ax in axes:
            ax.grid(visible=True, which="both", alpha=0.25)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
        return figure


def compare_sensealgs(
    prob: AbstractProblem,
    alg: AbstractAlgorithm | None,
    loss: Callable[[Solution], Tensor],
    sensealgs: Sequence[AbstractSensealg] = DEFAULT_SENSEALGS,
    *,
    reference_tolerance: float = 1e-11,
    repeats: int = 3,
    **kwargs: Any,
) -> SensealgComparison:
    """Compute one gradient with every method, and tell how wrong, how slow and how large each was.

    The gradient is with respect to everything in the problem that requires one. The reference is
    `ReverseDiffAdjoint()` with `abstol = reltol = reference_tolerance`, so the errors include that of the solve itself.
    They are relative: at a minimum of the loss, where the gradient vanishes, they mean nothing.

    Arguments:
        prob: the problem.
        alg: the algorithm, also that of the reference.
        loss: a scalar from a solution.
        sensealgs: the methods. One that fails on this problem gets a row that says why.
        reference_tolerance: tolerance of the reference; at least 1e-6 is sensible for a float32 problem.
        repeats: how often to measure; medians are reported.
        **kwargs: options of [`solve`][], `saveat` for example.

    Raises:
        InvalidOptionError: an option was given that the comparison sets itself.
        GradientError: nothing in the problem requires a gradient.

    >>> import torch
    >>> p = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    >>> from pydiffeqflux import ODEProblem
    >>> prob = ODEProblem(lambda u, p, t: -p * u, torch.ones(2, dtype=torch.float64), (0.0, 1.0), p)
    >>> result = compare_sensealgs(prob, None, lambda sol: sol.u[-1].sum(), [GaussAdjoint()], abstol=1e-8, reltol=1e-8)
    >>> result.rows[0].error < 1e-6
    True
    """
    if "sensealg" in kwargs:
        raise InvalidOptionError("compare_sensealgs chooses sensealg itself; list the methods in sensealgs.")
    own, targets = _private_copy(prob)
    tight = kwargs | {"abstol": reference_tolerance, "reltol": reference_tolerance, "maxiters": 10_000_000}
    reference, _ = _gradient(own, alg, loss, ReverseDiffAdjoint(), targets, tight)
    rows = []
    for sensealg in sensealgs:
        try:
            rows.append(_measure(own, alg, loss, sensealg, targets, kwargs, reference, repeats))
        except (DiffEqError, RuntimeError) as error:
            rows.append(SensealgResult(sensealg, failure=str(error)))
    return SensealgComparison(tuple(rows), f"ReverseDiffAdjoint() at tolerance {reference_tolerance:g}")


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Whole decades around some numbers, so that a logarithmic axis has ticks worth reading."""
    known = [value for value in values if value > 0.0 and math.isfinite(value)] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _private_copy(prob: AbstractProblem) -> tuple[AbstractProblem, list[Tensor]]:
    """The problem with leaves of its own for u0 and p, and all tensors to differentiate with respect to."""

    def own(x: Tensor) -> Tensor:
        return x.detach().clone().requires_grad_(x.requires_grad)

    u0 = own(prob.u0)
    p = replace_leaves(prob.p, [own(q) for q in leaves(prob.p)])
    mine = remake(prob, u0=u0, p=p)
    targets = [x for x in (u0, *leaves(p)) if x.requires_grad]
    known = {id(x) for x in targets}
    with torch.enable_grad():
        owners = mine.prepare().owners
    targets += [x for x in owners if id(x) not in known]
    if not targets:
        raise GradientError("nothing in the problem requires a gradient; set requires_grad on u0 or p.")
    return mine, targets


def _gradient(
    prob: AbstractProblem,
    alg: AbstractAlgorithm | None,
    loss: Callable[[Solution], Tensor],
    sensealg: AbstractSensealg,
    targets: list[Tensor],
    kwargs: dict[str, Any],
) -> tuple[Tensor, tuple[float, float, Solution]]:
    start = time.perf_counter()
    sol = solve(prob, alg, sensealg=sensealg, **kwargs).raise_for_status()
    value = loss(sol)
    middle = time.perf_counter()
    grads = torch.autograd.grad(value, targets, allow_unused=True)
    stop = time.perf_counter()
    flat = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, targets, strict=True)]
    flat = [torch.view_as_real(g) if g.is_complex() else g for g in flat]
    return torch.cat([g.reshape(-1).double() for g in flat]), (middle - start, stop - middle, sol)


def _measure(
    prob: AbstractProblem,
    alg: AbstractAlgorithm | None,
    loss: Callable[[Solution], Tensor],
    sensealg: AbstractSensealg,
    targets: list[Tensor],
    kwargs: dict[str, Any],
    reference: Tensor,
    repeats: int,
) -> SensealgResult:
    gc.collect()
    with PeakMemory() as memory:  # also the warm-up of the timed runs
        gradient, (_, _, sol) = _gradient(prob, alg, loss, sensealg, targets, kwargs)
    error = float(torch.linalg.vector_norm(gradient - reference) / torch.linalg.vector_norm(reference))
    runs = [_gradient(prob, alg, loss, sensealg, targets, kwargs)[1] for _ in range(repeats)]
    return SensealgResult(
        sensealg,
        error,
        statistics.median(run[0] for run in runs),
        statistics.median(run[1] for run in runs),
        memory.peak,
        sol.stats.nf,
        sol.stats.nf_adjoint,
    )
