"""Timing, and the check of every outcome against its reference."""

import dataclasses
import gc
import math
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from _problems import Array
from _rows import CALLED_BACK, COMPILING, Case, Outcome, Reference, Row

MIN_REPEATS, MAX_REPEATS = 7, 25
FIRST_LOSSES = 20
LOSS_AGREEMENT, FINAL_LOSS_AGREEMENT = 1e-4, 0.1


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds for one case.

    Attributes:
        usual: repeats beyond the seventh stop here.
        limit: so do all others; the row shows how many there were.
        first: a first call that takes longer, in processor time, is broken off.
        last: the same for the cases that come last.
    """

    usual: float
    limit: float
    first: float
    last: float


FULL = Budget(usual=0.2, limit=1.0, first=15.0, last=150.0)
SHORT = Budget(usual=0.05, limit=0.25, first=10.0, last=30.0)


COMPILATION = 60.0
"""Seconds that a first call may take longer where it compiles."""


BROKEN_OFF = "broken off"


class CaseTimeoutError(RuntimeError):
    """A case took too long."""


def measure(case: Case, budget: Budget) -> Row:
    """Run a case: once for the result, then again for the time."""
    gc.collect()
    try:
        run = case.make()
        compiling = case.row.library in COMPILING
        allowance = COMPILATION if compiling and case.row.rhs != CALLED_BACK else 0.0
        with _time_limit(allowance + (budget.last if case.last else budget.first)):
            first, raw = _timed(run.call)
        outcome = run.read(raw)
        del raw
        row = judge(case.row, outcome, case.reference)
        once = outcome.losses is not None or outcome.seconds is not None or not row.is_valid
        times = [] if once or (first > budget.limit and not compiling) else _repeat(run.call, budget)
    except Exception as error:  # whatever a library raises is a result
        return dataclasses.replace(case.row, status=f"failed: {_summary(error)}", peak_rss=peak_rss())
    whole = first if outcome.seconds is None else outcome.seconds
    warm = times or [whole]
    scale = 1e3 / run.count
    return dataclasses.replace(
        row,
        first=None if run.count > 1 else 1e3 * (whole if outcome.first_step is None else outcome.first_step),
        median=scale * statistics.median(warm),
        minimum=scale * min(warm),
        repeats=len(times),
        peak_rss=peak_rss(),
    )


def judge(row: Row, outcome: Outcome, reference: Reference) -> Row:
    """The row with errors and counts, and the verdict whether it is valid."""
    row = dataclasses.replace(
        row,
        status=f"void: {outcome.failure}" if outcome.failure else "ok",
        nfe=outcome.nfe,
        nfe_adjoint=outcome.nfe_adjoint,
        accepted=outcome.accepted,
        rejected=outcome.rejected,
    )
    if outcome.failure:
        return row
    if outcome.losses is not None and reference.losses is not None:
        return _judge_losses(row, outcome.losses, reference.losses)
    error = gradient_error = None
    if reference.us is not None:
        if outcome.us.shape != reference.us.shape:
            return dataclasses.replace(row, status=f"void: saved {outcome.us.shape}, not {reference.us.shape}")
        error = solution_error(outcome.us, reference.us)
    if outcome.gradient is not None and reference.gradient is not None:
        gradient_error = float(
            np.linalg.norm(outcome.gradient - reference.gradient) / np.linalg.norm(reference.gradient)
        )
    finite = all(math.isfinite(x) for x in (error, gradient_error) if x is not None)
    return dataclasses.replace(
        row,
        error=_finite(error),
        gradient_error=_finite(gradient_error),
        status="ok" if finite else "void: not finite",
    )


def _judge_losses(row: Row, losses: Array, reference: Array) -> Row:
    early = float(np.max(np.abs(losses[:FIRST_LOSSES] / reference[:FIRST_LOSSES] - 1)))
    agrees = early <= LOSS_AGREEMENT
    status = "ok" if agrees else f"void: first {FIRST_LOSSES} losses differ by {early:.1e}"
    return dataclasses.replace(row, loss_error=_finite(early), final_loss=_finite(float(losses[-1])), status=status)


def _finite(value: float | None) -> float | None:
    """The value, `None` for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def judge_final_losses(rows: Sequence[Row]) -> list[Row]:
    """The rows, training runs void whose final loss is not within a tenth of the median of its group.

    There is no reference for it: with this learning rate Adam overshoots now and then, and what a run looks like after
    that depends on its rounding errors.
    """
    finals: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.final_loss is not None and row.is_valid:
            finals.setdefault((row.workload, row.group), []).append(row.final_loss)
    judged = []
    for row in rows:
        usual = statistics.median(finals.get((row.workload, row.group), [math.nan]))
        if row.is_valid and row.final_loss is not None and abs(row.final_loss / usual - 1) > FINAL_LOSS_AGREEMENT:
            judged.append(dataclasses.replace(row, status=f"void: final loss {row.final_loss:.3e}, median {usual:.3e}"))
        else:
            judged.append(row)
    return judged


def solution_error(us: Any, reference: Array) -> float:
    """The largest error, each component relative to the largest value that the reference has in it."""
    scale = np.abs(reference).max(axis=tuple(range(reference.ndim - 1)))
    return float(np.max(np.abs(np.asarray(us, dtype=float) - reference) / scale))


def peak_rss() -> float:
    """The largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Break the body off after so many seconds of processor time. One call into a compiled library is waited for.

    The signal is repeated, since one that arrives as Julia calls back is lost.
    """

    def stop(*_: Any) -> None:
        raise CaseTimeoutError(f"{BROKEN_OFF} after {seconds:.0f} s of processor time")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _repeat(call: Callable[[], Any], budget: Budget) -> list[float]:
    times: list[float] = []
    while len(times) < MAX_REPEATS:
        spent = sum(times)
        expected = spent + (times[-1] if times else 0.0)
        if expected > (budget.limit if len(times) < MIN_REPEATS else budget.usual):
            break
        times.append(_timed(call)[0])
    return times


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def _summary(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0] if lines else ''}".replace("|", "/")
    return text if len(text) <= 110 else text[:107] + "..."
