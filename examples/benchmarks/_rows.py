"""What is measured (a case) and what comes out (a row)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from _problems import Array
from numpy.typing import NDArray

EMBEDDED, JULIA = "pydiffeqflux-embedded", "pydiffeqflux-julia"

OURS = (EMBEDDED, JULIA)
"""This package: each engine counts as a library, and has a process of its own."""

PEERS = ("torchdiffeq", "torchode", "torchsde", "ddeint", "jitcdde", "diffrax", "scipy")
LIBRARIES = (*OURS, *PEERS, "torch", "juliacall", "diffeqpy")
"""What is compared, in the order of the tables. The last three have a part in the workload of the bridge only."""

COMPILING = (*OURS, "diffrax", "juliacall")
"""Their first call traces or compiles, so that it says nothing about the next."""

TORCH, COMPILED, CALLED_BACK, SOURCE = "torch", "torch, compiled", "torch, called back", "JuliaSource"
"""Kinds of right-hand sides; the last three are those of the julia engine. Others are `"numpy"` and `"jax jit"`."""

Dtype = Literal["float64", "float32"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A relative and an absolute tolerance."""

    rtol: float
    atol: float


def ladder(low: int, high: int, atol_share: float) -> list[Tolerance]:
    """Relative tolerances 10^-low ... 10^-high, absolute ones smaller by the factor `atol_share`."""
    return [Tolerance(10.0**-k, 10.0**-k * atol_share) for k in range(low, high + 1)]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results. Times are in milliseconds; `None` is what was not or cannot be measured.

    Attributes:
        workload: `"w1"` ...
        group: what is the same in all rows that are compared with each other.
        library, version: whose solver.
        solver: its name there.
        adjoint: the class of the adjoint, where classes are compared one by one.
        rhs: what the right-hand side is written in, and how the julia engine takes it.
        dtype: of the state.
        rtol, atol: asked for.
        status: `"ok"`, or why there is no valid result.
        error: of the solution: max |u - ref| over everything, each component relative to its largest reference value.
        gradient_error: |g - ref| / |ref|.
        nfe, nfe_adjoint: right-hand side evaluations of the solve and of the backward pass.
        accepted, rejected: steps.
        first, median, minimum: of one call; the first includes compilation, but not the start of Julia. Of a training
            run, `first` is its first step and the other two are the whole.
        repeats: timed calls after the first.
        peak_rss: MiB, of the process up to here.
        loss_error: largest relative deviation of the first 20 training losses from the reference.
        final_loss: after training.
    """

    workload: str
    group: str
    library: str
    solver: str = ""
    adjoint: str = ""
    rhs: str = ""
    dtype: str = "float64"
    rtol: float = 0.0
    atol: float = 0.0
    version: str = ""
    status: str = "planned"
    error: float | None = None
    gradient_error: float | None = None
    nfe: int | None = None
    nfe_adjoint: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    first: float | None = None
    median: float | None = None
    minimum: float | None = None
    repeats: int = 0
    peak_rss: float | None = None
    loss_error: float | None = None
    final_loss: float | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the row may be compared."""
        return self.status == "ok"

    @property
    def matched_error(self) -> float | None:
        """The error that times are compared at: the gradient's where there is one."""
        return self.error if self.gradient_error is None else self.gradient_error


@dataclass(slots=True)
class Outcome:
    """What one call computed.

    Attributes:
        us: the saved states.
        gradient: the flat gradient, where one was asked for.
        nfe, nfe_adjoint, accepted, rejected: as in `Row`.
        failure: why the result is void, or empty.
        losses: of a training run.
        first_step: seconds of its first step.
        seconds: what the call itself measured, in the place of how long it took.
    """

    us: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    gradient: Array | None = None
    nfe: int | None = None
    nfe_adjoint: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    failure: str = ""
    losses: Array | None = None
    first_step: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """A computation.

    Attributes:
        call: carries it out; this is timed.
        read: makes an outcome of what `call` returned; this is not.
        count: how often `call` repeats what is to be timed, where once is too short for the clock. The row then has no
            first call.
    """

    call: Callable[[], Any]
    read: Callable[[Any], Outcome]
    count: int = 1


def training_run(make_step: Callable[[], Callable[[], float]], steps: int) -> Run:
    """A training run: `make_step` prepares a function that makes one step and returns the loss before it."""

    def call() -> Outcome:
        step = make_step()
        start = time.perf_counter()
        losses = [step()]
        first_step = time.perf_counter() - start
        losses += [step() for _ in range(steps - 1)]
        return Outcome(losses=np.array(losses), first_step=first_step)

    return Run(call, lambda outcome: outcome)


@dataclass(frozen=True, eq=False)
class Reference:
    """What outcomes are checked against; `None` where the kind of case has none."""

    us: Array | None = None
    gradient: Array | None = None
    losses: Array | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """A row to be.

    Attributes:
        row: its labels.
        make: prepares the computation.
        reference: what the result is checked against.
        last: whether it is so expensive that everything else comes first.
    """

    row: Row
    make: Callable[[], Run]
    reference: Reference
    last: bool = False
