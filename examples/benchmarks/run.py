"""Compare both engines of pydiffeqflux with their peers, and measure the bridge to Julia.

The peers are torchdiffeq, torchode, torchsde, diffrax and SciPy.

    python examples/benchmarks/run.py [--short] [--only w3] [--library scipy] [--out results]

Every (workload, library) runs in a process of its own, on one core and one thread; the engines of this package count as
two libraries. Results go to `<out>/<date>-<cpu>.json` and `<out>/<date>.md`. What is not installed is left out, in
words; `pip install "pydiffeqflux[bench,julia]"` installs the peers and juliacall, and `python -m pydiffeqflux setup`
sets Julia up. The short form checks that everything works; do not quote its times.
"""

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _libraries
from _environment import SINGLE_THREADED, environment, single_core, usable_cores
from _references import References
from _report import full, summary
from _rows import EMBEDDED, JULIA, LIBRARIES, Row
from _timing import BROKEN_OFF, FULL, SHORT, judge_final_losses, measure

WORKLOADS = {
    "w1": "w1_nonstiff",
    "w2": "w2_stiff",
    "w3": "w3_small_neural_ode",
    "w4": "w4_spiral_training",
    "w6": "w6_ffjord",
    "w7": "w7_sde",
    "w8": "w8_dde",
    "w9": "w9_parameter_gradients",
    "wb": "wb_bridge",
}
TIMEOUT, SHORT_TIMEOUT = 200.0, 60.0
"""Seconds for one process."""

JULIA_TIMEOUT, SHORT_JULIA_TIMEOUT = 900.0, 300.0
"""The same where Julia runs: it starts, has three kinds of right-hand sides to measure, and compiles each."""


@dataclass(frozen=True, slots=True)
class Job:
    """One (workload, library)."""

    workload: str
    library: str
    short: bool
    folder: Path

    @property
    def timeout(self) -> float:
        """Seconds that it may take."""
        if self.library in (JULIA, "juliacall"):
            return SHORT_JULIA_TIMEOUT if self.short else JULIA_TIMEOUT
        return SHORT_TIMEOUT if self.short else TIMEOUT


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a check of everything in a few minutes")
    parser.add_argument("--only", choices=WORKLOADS, action="append", help="this workload; may be repeated")
    parser.add_argument("--library", choices=LIBRARIES, action="append", help="this library; may be repeated")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--jobs", type=int, help="processes at a time, each on its own core (default: 2)")
    parser.add_argument("--worker", metavar="LIBRARY", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        single_core(arguments.core)
        work(Job(arguments.only[0], arguments.worker, arguments.short, arguments.out), arguments.rows)
    else:
        planned = [
            Job(workload, library, arguments.short, arguments.out)
            for workload in arguments.only or WORKLOADS
            for library in _taking_part(workload)
            if library in (arguments.library or LIBRARIES)
        ]
        if not planned:
            parser.error("no such library takes part in these workloads.")
        parts = [*(["short"] if arguments.short else []), *(arguments.only or []), *(arguments.library or [])]
        orchestrate(planned, arguments.jobs, "".join(f"-{part}" for part in parts))


def _taking_part(workload: str) -> tuple[str, ...]:
    return importlib.import_module(WORKLOADS[workload]).LIBRARIES


# ---- the worker


def work(job: Job, path: Path) -> None:
    """Write one line of JSON a row: first all that are planned, then each as it is measured."""
    workload: Any = importlib.import_module(WORKLOADS[job.workload])
    cases = list(workload.cases(job.library, References(job.folder), short=job.short))
    cases.sort(key=lambda case: (case.last, -case.row.rtol))  # should the time run out, these go without
    version = _libraries.version(job.library)
    with path.open("w") as file:
        for case in cases:
            _write(file, case.row)
        broken_off: dict[tuple[str, str, str], Row] = {}
        for case in cases:
            series = (case.row.group, case.row.solver, case.row.rhs)
            if series in broken_off:
                status = f"not tried: broken off at rtol {broken_off[series].rtol:.0e} already"
                _write(file, dataclasses.replace(case.row, version=version, status=status))
                continue
            row = dataclasses.replace(measure(case, SHORT if job.short else FULL), version=version)
            if BROKEN_OFF in row.status:
                broken_off[series] = row
            _write(file, row)


def _write(file: Any, row: Row) -> None:
    file.write(json.dumps(dataclasses.asdict(row)) + "\n")
    file.flush()


# ---- the parent


def orchestrate(planned: list[Job], jobs: int | None, stem: str) -> None:
    """Run all processes; report after each, so that nothing is lost if the rest is interrupted."""
    where, cores, begin = environment(), usable_cores(), time.perf_counter()
    short, folder = planned[0].short, planned[0].folder
    workloads = list(dict.fromkeys(job.workload for job in planned))
    titles = {name: importlib.import_module(WORKLOADS[name]).TITLE for name in workloads}
    free = list(reversed(cores))
    _prepare(workloads, short=short, folder=folder)

    def carry_out(job: Job) -> list[Row]:
        core = free.pop() if free else cores[0]
        try:
            return run_job(job, core)
        finally:
            free.append(core)

    rows: list[Row] = []
    name = f"{where.date}{stem}"
    with ThreadPoolExecutor(jobs or min(2, len(cores))) as pool:
        for result in pool.map(carry_out, planned):
            rows = judge_final_losses([*rows, *result])
            data = {"environment": dataclasses.asdict(where), "rows": [dataclasses.asdict(row) for row in rows]}
            (folder / f"{name}-{where.machine}.json").write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")
            (folder / f"{name}.md").write_text(full(rows, where, titles))
    print(summary(rows, where, titles))
    print(f"{time.perf_counter() - begin:.0f} s; every row is in {folder / name}.md and {name}-{where.machine}.json")


def _prepare(workloads: list[str], *, short: bool, folder: Path) -> None:
    """Have the references computed, in processes of their own, so that no worker's time or memory has a part in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for workload in workloads:
        if EMBEDDED not in _taking_part(workload):
            continue  # the bridge has none
        _say(f"{workload}: references")
        code = (
            f"import {WORKLOADS[workload]} as w, pathlib; from _references import References; "
            f"list(w.cases({EMBEDDED!r}, References(pathlib.Path({str(folder.resolve())!r})), short={short}))"
        )
        subprocess.run([sys.executable, "-c", code], env=_worker_environment(), check=True)


def run_job(job: Job, core: int) -> list[Row]:
    """One process: its rows, with what it did not get to marked as such."""
    name = f"{job.workload} {job.library}"
    problem = _libraries.why_not(job.library)
    if problem:
        _say(f"{name}: {problem}")
        return [Row(job.workload, "", job.library, status=f"n/a ({problem})")]
    _say(f"{name}: running")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", job.library, "--only", job.workload]
        command += [
            "--out",
            str(job.folder.resolve()),
            "--rows",
            str(path),
            "--core",
            str(core),
            *(["--short"] if job.short else []),
        ]
        ended = _run(command, job.timeout)
        rows = list(_collect(path, ended))
    if not rows:
        rows = [Row(job.workload, "", job.library, version=_libraries.version(job.library), status=ended)]
    valid = sum(row.is_valid for row in rows)
    _say(f"{name}: {valid} of {len(rows)} rows valid, {time.perf_counter() - begin:.0f} s{ended and ', ' + ended}")
    return rows


def _run(command: list[str], timeout: float) -> str:
    """Run a worker; why it ended early, or an empty string."""
    process = subprocess.Popen(
        command,
        env=_worker_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"time-out of the process after {timeout:.0f} s"
    if process.returncode == 0:
        return ""
    lines = [line for line in errors.splitlines() if line.strip()]
    return f"failed: {lines[-1] if lines else f'exit status {process.returncode}'}".replace("|", "/")[:110]


def _collect(path: Path, ended: str) -> Iterator[Row]:
    if not path.exists():
        return
    planned: list[Row] = []
    measured: list[Row] = []
    for line in path.read_text().splitlines():
        row = Row(**json.loads(line))
        (planned if row.status == "planned" else measured).append(row)
    yield from measured
    for row in planned[len(measured) :]:
        yield dataclasses.replace(row, status=ended or "failed: no result")


def _worker_environment() -> dict[str, str]:
    here = str(Path(__file__).parent.resolve())
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    # EQX_ON_ERROR: diffrax's checks as NaN rather than as slow callbacks, as its documentation says for benchmarks
    jax = {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "EQX_ON_ERROR": "nan"}
    return {**os.environ, **SINGLE_THREADED, **jax, "PYTHONPATH": path}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
