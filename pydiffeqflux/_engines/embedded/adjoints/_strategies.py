"""What this engine does for every sensealg, and the table of them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor

from ...._algorithms import AbstractAlgorithm, AbstractStochasticAlgorithm, EquationKind, ReversibleHeun
from ...._errors import SolverError
from ...._functions import RightHandSide
from ...._sensealgs import (
    AbstractSensealg,
    BacksolveAdjoint,
    ForwardDiffSensitivity,
    GaussAdjoint,
    InterpolatingAdjoint,
    QuadratureAdjoint,
    ReverseDiffAdjoint,
)
from ..._base import RawSolution
from ..._strategy import AbstractStrategy, Kept, S, look_up
from ..stochastic import ReversibleHeun as ReversibleHeunMethod
from . import _continuous, _discrete, _repeated, _stochastic

C = TypeVar("C", InterpolatingAdjoint, GaussAdjoint)
"""The sensealgs with checkpoints of the forward solve."""

Gradients = tuple[Tensor, list[Tensor]]
"""With respect to the initial state and to every parameter."""


class Strategy(AbstractStrategy[S]):
    """What the embedded engine does for one sensealg.

    Attributes:
        kinds: the equations that it is there for.
    """

    kinds: frozenset[EquationKind] = frozenset({EquationKind.ORDINARY})

    def refuse(self, alg: AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if alg.kind not in self.kinds:
            what = "noise" if alg.kind is EquationKind.STOCHASTIC else "delays"
            return f"{self.sensealg!r} is for equations without {what}; use ReverseDiffAdjoint()."
        if isinstance(alg, ReversibleHeun) and self.keep is Kept.CHECKPOINTS:
            return f"{self.sensealg!r} cannot make steps of {alg!r} again; use BacksolveAdjoint(), which undoes them."
        return ""

    def taped(self, alg: AbstractAlgorithm, rhs: RightHandSide) -> bool:
        """Whether the forward solve records a graph for it."""
        return False

    @abstractmethod
    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        """Gradients of `Σᵢ cotangentsᵢ · u(timesᵢ)`; the solution has kept what `keep` says."""

    def pull_back_with_graph(
        self, raw: RawSolution, times: Sequence[float], cotangents: Tensor, inputs: Sequence[Tensor]
    ) -> list[Tensor] | None:
        """As `pull_back`, connected by a graph to `cotangents` and `inputs`; `None` where there is no such graph."""
        return None


_ORDINARY_OR_NOISY = frozenset({EquationKind.ORDINARY, EquationKind.STOCHASTIC})


class WithoutGradient(Strategy[Any]):
    """A solve without a sensealg."""

    kinds = frozenset(EquationKind)

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        raise SolverError("this solution was computed without a sensealg.", raw.retcode)


class Reverse(Strategy[ReverseDiffAdjoint]):
    """Along the graph of a taped solve, else chunk by chunk through the steps."""

    kinds = frozenset(EquationKind)

    def __init__(self, sensealg: ReverseDiffAdjoint) -> None:
        super().__init__(sensealg)
        self.keep = Kept.CHECKPOINTS if sensealg.checkpointing else Kept.STEPS
        self.repeats_draws = not sensealg.checkpointing  # steps that are made again draw others

    def refuse(self, alg: AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if alg.kind is EquationKind.DELAY and self.sensealg.checkpointing:
            return f"{self.sensealg!r} cannot make steps again that read the past; use ReverseDiffAdjoint()."
        return super().refuse(alg, mass_matrix=mass_matrix)

    def taped(self, alg: AbstractAlgorithm, rhs: RightHandSide) -> bool:
        if self.sensealg.checkpointing:
            return False
        if rhs.delayed is not None:  # what was read from earlier steps is known to the graph
            return True
        # what is something else each time is evaluated once
        return rhs.varies or isinstance(alg, ReversibleHeun) or _discrete.is_taped(rhs.numel, implicit=alg.is_stiff)

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        record, rhs = raw.record, raw.spec.rhs
        if self.sensealg.checkpointing:
            assert record.checkpoints is not None
            return _discrete.reverse_from_checkpoints(record.checkpoints, rhs, times, cotangents)
        if record.taped:
            return _discrete.tape(record.steps, record.u0, rhs, times, cotangents)
        return _discrete.reverse(record.steps, rhs, times, cotangents)

    def pull_back_with_graph(
        self, raw: RawSolution, times: Sequence[float], cotangents: Tensor, inputs: Sequence[Tensor]
    ) -> list[Tensor] | None:
        one_time = isinstance(raw.spec.alg, ReversibleHeun) or raw.spec.rhs.delayed is not None
        if self.sensealg.checkpointing or one_time:
            return None
        steps, rhs = raw.record.steps, raw.spec.rhs
        # steps that draw other numbers are others; one Newton iteration from a solution has its first derivative only
        if rhs.varies or any(step.method.iterates for step in steps.steps):
            return None
        return _repeated.gradients(steps, rhs, times, cotangents, inputs)


class Forward(Strategy[ForwardDiffSensitivity]):
    """Sensitivities carried along the steps."""

    keep = Kept.STEPS
    kinds = _ORDINARY_OR_NOISY

    def refuse(self, alg: AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if isinstance(alg, ReversibleHeun):
            return f"{self.sensealg!r} does not carry the second state of {alg!r}; use BacksolveAdjoint()."
        return super().refuse(alg, mass_matrix=mass_matrix)

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        return _discrete.forward(raw.record.steps, raw.spec.rhs, times, cotangents)


class Continuous(Strategy[S]):
    """Base of those that solve the adjoint ODE."""

    def refuse(self, alg: AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if getattr(self.sensealg, "autojacvec", None) is not None:
            return f"{self.sensealg!r}: torch differentiates f on the embedded engine; leave autojacvec out."
        if mass_matrix:
            return (
                f"{self.sensealg!r} does not handle mass matrices on the embedded engine; use ReverseDiffAdjoint() or "
                "ForwardDiffSensitivity()."
            )
        return super().refuse(alg, mass_matrix=mass_matrix)


class FromStates(Continuous[C]):
    """Base of those that read the states between steps, all kept or solved again from checkpoints."""

    def __init__(self, sensealg: C) -> None:
        super().__init__(sensealg)
        self.keep = Kept.CHECKPOINTS if sensealg.checkpointing else Kept.STEPS


class Interpolating(FromStates[InterpolatingAdjoint]):
    """The adjoint of states and parameters together."""

    kinds = _ORDINARY_OR_NOISY

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        if raw.spec.noise is not None:
            forward, (t0, t1) = raw.record.forward, raw.spec.tspan
            ends = [t1, *forward.breaks(t1, t0), t0]
            return _stochastic.along_states(raw.spec, ends, forward.state, times, cotangents)
        return _continuous.interpolating(raw.spec, raw.record.forward, times, cotangents)


class Gauss(FromStates[GaussAdjoint]):
    """The adjoint of the state, and a quadrature over its steps."""

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        return _continuous.gauss(raw.spec, raw.record.forward, times, cotangents)


class Quadrature(Continuous[QuadratureAdjoint]):
    """The adjoint of the state, and an adaptive quadrature over all of it."""

    keep = Kept.STEPS

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        return _continuous.quadrature(raw.spec, raw.record.forward, times, cotangents, self.sensealg)


class Backsolve(Continuous[BacksolveAdjoint]):
    """The state and its adjoint, both solved backwards."""

    keep = Kept.ENDS
    kinds = _ORDINARY_OR_NOISY

    def kept(self, alg: AbstractAlgorithm) -> Kept:
        # checkpoints that nobody reads are the times of steps only
        return Kept.CHECKPOINTS if isinstance(alg, AbstractStochasticAlgorithm) else Kept.ENDS

    def pull_back(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> Gradients:
        if raw.spec.noise is not None:
            ends = list(raw.record.checkpoints.times)[::-1]
            method = raw.record.method
            if isinstance(method, ReversibleHeunMethod):
                return _stochastic.undo(raw.spec, method, ends, raw.record.u_end, times, cotangents)
            return _stochastic.backsolve(raw.spec, ends, raw.record.u_end, times, cotangents)
        saved = dict(zip(raw.t, raw.u, strict=True)) | {raw.spec.tspan[1]: raw.record.u_end}
        return _continuous.backsolve(raw.spec, times, cotangents, saved, self.sensealg)


STRATEGIES: dict[type[AbstractSensealg], type[Strategy[Any]]] = {
    ReverseDiffAdjoint: Reverse,
    ForwardDiffSensitivity: Forward,
    BacksolveAdjoint: Backsolve,
    InterpolatingAdjoint: Interpolating,
    QuadratureAdjoint: Quadrature,
    GaussAdjoint: Gauss,
}
"""The sensealgs of this engine."""


def strategy_of(sensealg: AbstractSensealg | None) -> Strategy[Any]:
    """What this engine does for a sensealg.

    Raises:
        UnsupportedError: it has no such sensealg.
    """
    return WithoutGradient(None) if sensealg is None else look_up("embedded", STRATEGIES, sensealg)(sensealg)
