"""Stochastic methods as tables of numbers, for reverse mode through their steps in Julia.

A stage is an evaluation of the drift or of the diffusion, at a sum of what was evaluated before: drifts times the step
size, diffusions times kinds of noise. The formulas are those of the embedded engine's methods.
"""

from dataclasses import dataclass, field

from ... import _algorithms as algs
from ..._tableaus import RosslerTableau, Row

ROOT, W, I10, I11, I111, HALF_SQUARE = range(6)
"""The kinds of noise, as `stochastic_adjoint.jl` lists them."""


@dataclass
class StochasticStages:
    """The stages of a method, and what its step is made of.

    Attributes:
        drift: whether a stage is one of the drift.
        c: when it is evaluated.
        a: for each stage, and then for the step, the weights of drifts.
        b: for each kind of noise the same for diffusions.
    """

    drift: list[bool] = field(default_factory=list)
    c: list[float] = field(default_factory=list)
    a: list[Row] = field(default_factory=list)
    b: list[list[Row]] = field(default_factory=lambda: [[] for _ in range(6)])

    def drift_at(self, c: float, a: dict[int, float], b: dict[tuple[int, int], float]) -> int:
        """Add a stage of the drift, see `_row`; returns its number."""
        return self._stage(True, c, a, b)

    def diffusion_at(self, c: float, a: dict[int, float], b: dict[tuple[int, int], float]) -> int:
        """Add a stage of the diffusion; returns its number."""
        return self._stage(False, c, a, b)

    def step(self, a: dict[int, float], b: dict[tuple[int, int], float]) -> "StochasticStages":
        """Say what the step is made of, when all stages are there."""
        self._row(a, b)
        return self

    def _stage(self, drift: bool, c: float, a: dict[int, float], b: dict[tuple[int, int], float]) -> int:
        self._row(a, b)
        self.drift.append(drift)
        self.c.append(c)
        return len(self.c) - 1

    def _row(self, a: dict[int, float], b: dict[tuple[int, int], float]) -> None:
        """Weights by the number of the stage, those of diffusions by the kind of noise and the number."""
        s = len(self.c)
        self.a.append(tuple(a.get(j, 0.0) for j in range(s)))
        for kind, rows in enumerate(self.b):
            rows.append(tuple(b.get((kind, j), 0.0) for j in range(s)))


def has_stages(alg: type[algs.AbstractAlgorithm]) -> bool:
    """Whether `stages_of` knows a method."""
    return issubclass(alg, algs.EM | algs.LambaEM | algs.EulerHeun | algs.RKMil | algs.AbstractRossler)


def stages_of(alg: algs.AbstractStochasticAlgorithm) -> StochasticStages:
    """The table of a method."""
    table = StochasticStages()
    match alg:
        case algs.EM() | algs.LambaEM():
            k = table.drift_at(0.0, {}, {})
            g = table.diffusion_at(float(alg.is_adaptive), {k: 1.0} if alg.split else {}, {})
            return table.step({k: 1.0}, {(W, g): 1.0})
        case algs.EulerHeun():
            k, g = table.drift_at(0.0, {}, {}), table.diffusion_at(0.0, {}, {})
            guess: tuple[float, dict[int, float], dict[tuple[int, int], float]] = (1.0, {k: 1.0}, {(W, g): 1.0})
            k2, g2 = table.drift_at(*guess), table.diffusion_at(*guess)
            return table.step({k: 0.5, k2: 0.5}, {(W, g): 0.5, (W, g2): 0.5})
        case algs.RKMil():
            ito = alg.interprets == "ito"
            k, g = table.drift_at(0.0, {}, {}), table.diffusion_at(0.0, {}, {})
            g2 = table.diffusion_at(0.0, {k: 1.0} if ito else {}, {(ROOT, g): 1.0})
            square = I11 if ito else HALF_SQUARE
            return table.step({k: 1.0}, {(W, g): 1.0, (square, g2): 1.0, (square, g): -1.0})
        case algs.AbstractRossler():
            return _rossler(table, alg.tableau)
    raise AssertionError(f"{alg!r} has no stages here")


def _rossler(table: StochasticStages, t: RosslerTableau) -> StochasticStages:
    count = len(t.alpha)
    used = {j for matrix in (t.a0, t.a1) for row in matrix for j, weight in enumerate(row) if weight}
    ks: dict[int, int] = {}
    gs: list[int] = []

    def drifts(matrix: tuple[Row, ...], i: int) -> dict[int, float]:
        return {ks[j]: weight for j, weight in enumerate(matrix[i] if matrix else ()) if weight}

    def diffusions(kind: int, weights: Row) -> dict[tuple[int, int], float]:
        return {(kind, gs[j]): weight for j, weight in enumerate(weights) if weight}

    for i in range(count):
        if t.alpha[i] or i in used:
            ks[i] = table.drift_at(t.c0[i], drifts(t.a0, i), diffusions(I10, t.b0[i] if t.b0 else ()))
        b1 = diffusions(ROOT, t.b1[i]) if t.b1 else {}
        gs.append(table.diffusion_at(t.c1[i], drifts(t.a1, i) if t.b1 else {}, b1))
    step = diffusions(W, t.beta1) | diffusions(I10, t.beta3) | diffusions(I11, t.beta2) | diffusions(I111, t.beta4)
    return table.step({ks[i]: weight for i, weight in enumerate(t.alpha) if weight}, step)
