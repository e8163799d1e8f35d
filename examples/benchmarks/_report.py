"""Tables: time at matched error, who is faster, and every row."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from _environment import Environment
from _rows import OURS, TORCH, Row

MAX_TARGETS = 3


@dataclass(frozen=True, eq=False)
class Series:
    """One solver's ladder in one group."""

    library: str
    solver: str
    rhs: str
    rows: tuple[Row, ...]

    @property
    def points(self) -> list[tuple[float, float]]:
        """(error, median milliseconds) of the valid rows, in the order of the ladder."""
        rows = (row for row in self.rows if row.is_valid)
        return [(row.matched_error, row.median) for row in rows if row.matched_error and row.median]

    def time_at(self, error: float) -> float | None:
        """Milliseconds to an error of at most `error`; `None` if the ladder does not get there.

        The least of the points that are accurate enough and of the lines, in log-log, between neighbours in the ladder
        that lie on both sides. Nothing is extrapolated.
        """
        points = self.points
        times = [time for e, time in points if e <= error]
        for (e1, t1), (e2, t2) in itertools.pairwise(points):
            if min(e1, e2) <= error <= max(e1, e2) and e1 != e2:
                share = math.log(error / e1) / math.log(e2 / e1)
                times.append(math.exp(math.log(t1) + share * math.log(t2 / t1)))
        return min(times, default=None)

    def __str__(self) -> str:
        return f"{self.library} {self.solver}" + (f" ({self.rhs})" if self.rhs else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one of our engines, with one kind of right-hand side, compares at one error in one group.

    Attributes:
        group: heading.
        error: achieved by all; `None` for training runs.
        ours: its best time.
        peers: the best of all peers, of those with a torch right-hand side, and of torchdiffeq; `None` where none gets
            there.
    """

    group: str
    error: float | None
    ours: tuple[float, str]
    peers: tuple[tuple[float, str] | None, ...]

    @property
    def ratios(self) -> list[float | None]:
        """Peer's time over ours: above 1 we are faster."""
        return [None if peer is None else peer[0] / self.ours[0] for peer in self.peers]


PEERS = ("best Python peer", "best with a torch right-hand side", "torchdiffeq")


def summary(rows: Sequence[Row], environment: Environment, titles: dict[str, str]) -> str:
    """The headlines: times at matched error and ratios."""
    parts = [
        "# Benchmarks",
        str(environment),
        "Milliseconds, medians of warm calls. Ladders of tolerances are read, by interpolation in log-log, at the same "
        "*achieved* error (of the gradient where one is computed). Errors shown are those powers of ten that both this "
        "package and a peer attain and that lie inside the ladder of one of them: the loosest, the tightest and one "
        "between. `-`: the ladder does not reach it.",
        "Under each table, every engine of ours with every kind of right-hand side is compared with the best of the "
        "others. Ratios are the peer's time over ours: above 1, ours is faster. Gradients are compared within one "
        "class of adjoint, and then over all of them. First calls include compilation and are in the last table only; "
        "the start of Julia and the loading of its packages are in no row but those of WB.",
    ]
    verdicts: list[Verdict] = []
    for workload, title in titles.items():
        mine = [row for row in rows if row.workload == workload]
        groups = _groups(mine)
        if not groups:
            continue
        parts.append(f"## {workload.upper()}: {title}")
        for group, series in groups.items():
            found = _verdicts(f"{workload.upper()}, {group}", series)
            parts += [f"### {group}", _group_table(series), *([] if _is_plain(series) else _verdict_table(found))]
            verdicts += found
        for group, series in _over_adjoints(mine).items():
            found = _verdicts(f"{workload.upper()}, {group}, any adjoint", series)
            if found:
                parts += [f"### {group}, any adjoint", *_verdict_table(found)]
                verdicts += found
    parts += ["## Where pydiffeqflux loses", _losses(verdicts)]
    failures = [row for row in rows if not row.is_valid]
    parts += ["## Not valid", _failures(failures)]
    return "\n\n".join(parts) + "\n"


def full(rows: Sequence[Row], environment: Environment, titles: dict[str, str]) -> str:
    """The headlines, then every row."""
    header = [
        *("workload", "group", "library", "solver", "adjoint", "rhs", "dtype", "rtol", "atol", "error"),
        *("gradient error", "nfe", "nfe adjoint", "steps", "rejected", "first", "median", "min", "repeats"),
        *("peak MiB", "status"),
    ]
    lines = [
        [
            row.workload,
            row.group,
            f"{row.library} {row.version}",
            row.solver,
            row.adjoint,
            row.rhs,
            row.dtype,
            _error(row.rtol),
            _error(row.atol),
            _error(row.error),
            _error(row.gradient_error),
            *(_count(n) for n in (row.nfe, row.nfe_adjoint, row.accepted, row.rejected)),
            *(_time(t) for t in (row.first, row.median, row.minimum)),
            str(row.repeats),
            "-" if row.peak_rss is None else f"{row.peak_rss:.0f}",
            row.status,
        ]
        for row in rows
    ]
    return summary(rows, environment, titles) + "\n## All rows\n\n" + _table(header, lines) + "\n"


def _groups(rows: Iterable[Row]) -> dict[str, list[Series]]:
    """What is compared with each other, by heading."""
    return _collect((", ".join(filter(None, (row.group, row.adjoint))), row) for row in rows)


def _over_adjoints(rows: Sequence[Row]) -> dict[str, list[Series]]:
    """The groups that are divided by classes of adjoint, undivided."""
    return _collect((row.group, row) for row in rows if row.adjoint)


def _collect(labelled: Iterable[tuple[str, Row]]) -> dict[str, list[Series]]:
    found: dict[str, dict[tuple[str, str, str], list[Row]]] = {}
    for group, row in labelled:
        found.setdefault(group, {}).setdefault((row.library, row.solver, row.rhs), []).append(row)
    return {
        group: [Series(*key, tuple(members)) for key, members in series.items()]
        for group, series in found.items()
        if group
    }


def _is_training(series: Sequence[Series]) -> bool:
    return any(row.loss_error is not None for s in series for row in s.rows)


def _is_plain(series: Sequence[Series]) -> bool:
    """Whether there are times, and no errors to match."""
    valid = [row for s in series for row in s.rows if row.is_valid]
    return bool(valid) and all(row.matched_error is None and row.loss_error is None for row in valid)


def _group_table(series: Sequence[Series]) -> str:
    if _is_training(series):
        return _training_table(series)
    if _is_plain(series):
        return _plain_table(series)
    targets = _targets(series)
    header = ["library", "solver", "right-hand side", *(f"at {error:.0e}" for error in targets)]
    lines = [[s.library, s.solver, s.rhs, *(_time(s.time_at(error)) for error in targets)] for s in series]
    return _table(header, lines) if targets else "No error to compare at: the ladders do not meet."


def _plain_table(series: Sequence[Series]) -> str:
    """Times of what has no error, each with its unit."""
    header = ["library", "what", "median", "min", "status"]
    lines = [
        [row.library, row.solver, *map(_duration, (row.median, row.minimum)), row.status]
        for s in series
        for row in s.rows
    ]
    return _table(header, lines)


def _training_table(series: Sequence[Series]) -> str:
    header = [
        "library",
        "solver",
        "right-hand side",
        "seconds",
        "first step, ms",
        "first losses",
        "final loss",
        "status",
    ]
    lines = [
        [
            row.library,
            row.solver,
            row.rhs,
            "-" if row.median is None else f"{row.median / 1e3:.2f}",
            _time(row.first),
            _error(row.loss_error),
            "-" if row.final_loss is None else f"{row.final_loss:.3e}",
            row.status,
        ]
        for s in series
        for row in s.rows
    ]
    return _table(header, lines)


def _targets(series: Sequence[Series]) -> list[float]:
    ours = [s for s in series if s.library in OURS]
    peers = [s for s in series if s.library not in OURS]
    if not peers:
        peers = ours  # a group of our own: show its ladder all the same
    found = []
    for exponent in range(-1, -13, -1):
        error = 10.0**exponent
        attained = all(any(s.time_at(error) is not None for s in side) for side in (ours, peers))
        inside = any(min(e for e, _ in s.points) <= error <= max(e for e, _ in s.points) for s in series if s.points)
        if attained and inside:
            found.append(error)
    if len(found) <= MAX_TARGETS:
        return found
    return [found[0], found[len(found) // 2], found[-1]]


def _verdicts(group: str, series: Sequence[Series]) -> list[Verdict]:
    if _is_training(series):
        return _compare(
            group, None, [(row.median, s) for s in series for row in s.rows if row.is_valid and row.median is not None]
        )
    if _is_plain(series):
        return _plain_verdicts(group, series)
    found = []
    for error in _targets(series):
        found += _compare(group, error, [(time, s) for s in series if (time := s.time_at(error)) is not None])
    return found


def _plain_verdicts(group: str, series: Sequence[Series]) -> list[Verdict]:
    """One for everything that a peer does too."""
    found = []
    for what in dict.fromkeys(s.solver for s in series):
        same = [s for s in series if s.solver == what]
        timed = [(row.median, s) for s in same for row in s.rows if row.is_valid and row.median is not None]
        found += _compare(group, None, timed)
    return found


def _compare(group: str, error: float | None, timed: Sequence[tuple[float, Series]]) -> list[Verdict]:
    def best(members: Iterable[tuple[float, Series]]) -> tuple[float, str] | None:
        fastest = min(members, key=lambda member: member[0], default=None)
        return None if fastest is None else (fastest[0], str(fastest[1]))

    others = [m for m in timed if m[1].library not in OURS]
    if not others:
        return []
    peers = (
        best(others),
        best(m for m in others if m[1].rhs == TORCH),
        best(m for m in others if m[1].library == "torchdiffeq"),
    )
    kinds = dict.fromkeys((s.library, s.rhs) for _, s in timed if s.library in OURS)
    ours = (best(m for m in timed if (m[1].library, m[1].rhs) == kind) for kind in kinds)
    return [Verdict(group, error, one, peers) for one in ours if one is not None]


def _verdict_table(verdicts: Sequence[Verdict]) -> list[str]:
    """One table, or none where there is nothing to say."""
    if not verdicts:
        return []
    lines = []
    for v in verdicts:
        cells = [
            "none" if peer is None or ratio is None else f"**{ratio:.3g}x** {peer[1]}: {_time(peer[0])}"
            for peer, ratio in zip(v.peers, v.ratios, strict=True)
        ]
        lines.append(["-" if v.error is None else f"{v.error:.0e}", f"{v.ours[1]}: {_time(v.ours[0])}", *cells])
    return [_table(["error", "ours, ms", *PEERS], lines)]


def _losses(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for v in verdicts:
        cells = [
            "-" if peer is None or ratio is None or ratio >= 1 else f"{ratio:.3g}x {peer[1]}"
            for peer, ratio in zip(v.peers, v.ratios, strict=True)
        ]
        if any(cell != "-" for cell in cells):
            lines.append([v.group, "-" if v.error is None else f"{v.error:.0e}", v.ours[1], *cells])
    if not verdicts:
        return "Nothing was compared with anybody in this run."
    if not lines:
        return "Nowhere in this run."
    return "The peer's time over ours, where it is below 1.\n\n" + _table(["group", "error", "ours", *PEERS], lines)


def _failures(rows: Sequence[Row]) -> str:
    if not rows:
        return "Every row of this run is valid."
    lines = [
        [row.workload, row.group, row.library, row.solver, row.rhs, _error(row.rtol or None), row.status]
        for row in rows
    ]
    return _table(["workload", "group", "library", "solver", "rhs", "rtol", "status"], lines)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def _time(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _duration(milliseconds: float | None) -> str:
    """A time with its unit."""
    if milliseconds is None:
        return "-"
    for unit, size in (("s", 1e3), ("ms", 1.0)):
        if milliseconds >= size:
            return f"{_time(milliseconds / size)} {unit}"
    return f"{_time(1e3 * milliseconds)} µs"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
