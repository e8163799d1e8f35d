"""The contract between the package and an engine: everything above this module knows no engine."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from .._algorithms import (
    AbstractAlgorithm,
    DefaultODEAlgorithm,
    DefaultSDEAlgorithm,
    MethodOfSteps,
    choose_default,
    choose_default_stochastic,
)
from .._functions import RightHandSide
from .._noise import BrownianPath
from .._options import SolveOptions
from .._problems import AbstractProblem
from .._retcode import ReturnCode
from .._sensealgs import AbstractSensealg


@dataclass(slots=True)
class Stats:
    """What a solve cost.

    Attributes:
        nf: evaluations of `f`, those made for Jacobians and for finding parameters included.
        naccept, nreject: accepted and rejected steps.
        njac: Jacobians.
        nsolve: linear solves.
        nw: LU factorisations of the iteration matrix W.
        nf_adjoint: evaluations of `f` made by backward passes so far.
        nf2: evaluations of the diffusion `g` of a stochastic equation.
    """

    nf: int = 0
    naccept: int = 0
    nreject: int = 0
    njac: int = 0
    nsolve: int = 0
    nw: int = 0
    nf_adjoint: int = 0
    nf2: int = 0


@dataclass(frozen=True, eq=False)
class SolveSpec:
    """One solve, as an engine receives it: everything checked, every default chosen.

    Attributes:
        rhs: the right-hand side; it holds the initial state.
        tspan: start and end time.
        alg: the algorithm.
        sensealg: the sensitivity algorithm that `adjoint` will be asked for; `None` when no gradient can follow.
        options: the options.
        noise: the Brownian path of a stochastic equation.
    """

    rhs: RightHandSide
    tspan: tuple[float, float]
    alg: AbstractAlgorithm
    sensealg: AbstractSensealg | None
    options: SolveOptions
    noise: BrownianPath | None = None

    def with_concrete_algorithm(self, *, large: AbstractAlgorithm) -> "SolveSpec":
        """The same with a default algorithm replaced by what it means; `large` is its method for large ODEs."""
        if isinstance(self.alg, DefaultSDEAlgorithm):
            assert self.rhs.diffusion is not None
            diffusion = self.rhs.diffusion
            return replace(self, alg=choose_default_stochastic(diffusion.layout, diffusion.depends_on_state))
        ordinary = self.alg.alg if isinstance(self.alg, MethodOfSteps) else self.alg
        if not isinstance(ordinary, DefaultODEAlgorithm):
            return self
        reltol = self.options.reltol
        smallest = float(reltol.min()) if isinstance(reltol, Tensor) else reltol
        alg = choose_default(self.rhs.numel, smallest, mass_matrix=self.rhs.mass_matrix is not None, large=large)
        return replace(self, alg=replace(self.alg, alg=alg) if isinstance(self.alg, MethodOfSteps) else alg)


@dataclass(eq=False)
class RawSolution:
    """What an engine returns.

    Attributes:
        spec: the solve this is the result of.
        t: saved times.
        u: saved states `(T, *shape)`, detached.
        retcode: how the solve ended.
        stats: what it cost.
        record: whatever the engine needs to evaluate the solution or to run its adjoint.
    """

    spec: SolveSpec
    t: list[float]
    u: Tensor
    retcode: ReturnCode
    stats: Stats
    record: Any = field(repr=False, default=None)


class AbstractEngine(ABC):
    """Carries out solves and their adjoints."""

    name: str

    @abstractmethod
    def default_algorithm(self, prob: AbstractProblem) -> AbstractAlgorithm:
        """The algorithm that stands for `alg=None`."""

    def prepare(self, prob: AbstractProblem, options: SolveOptions) -> RightHandSide:
        """What is evaluated for a problem that `check` has accepted."""
        return prob.prepare()

    @abstractmethod
    def default_sensealg(self, spec: SolveSpec) -> AbstractSensealg:
        """The sensitivity algorithm that stands for `sensealg=None` in a solve that has none yet."""

    @abstractmethod
    def check(self, prob: AbstractProblem, alg: AbstractAlgorithm, sensealg: AbstractSensealg | None) -> None:
        """Refuse what the engine cannot do.

        Raises:
            UnsupportedError: names what is missing and what to use in its place.
        """

    @abstractmethod
    def solve(self, spec: SolveSpec) -> RawSolution:
        """Integrate."""

    @abstractmethod
    def evaluate(self, raw: RawSolution, times: Sequence[float], derivative: int) -> Tensor:
        """The dense output or a time derivative of it at `times`, shape `(len(times), *shape)`, detached."""

    @abstractmethod
    def adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Gradients of `Σᵢ cotangentsᵢ · u(timesᵢ)` with respect to u0 and to every parameter of the right-hand side.

        `times` run in the direction of integration; `cotangents` has shape `(len(times), *shape)`.
        """

    def differentiable_adjoint(
        self, raw: RawSolution, times: Sequence[float], cotangents: Tensor, inputs: Sequence[Tensor]
    ) -> list[Tensor] | None:
        """As `adjoint`, connected by a graph to `cotangents` and to `inputs`, which are u0 and the owners.

        `None` where that cannot be done.
        """
        return None
