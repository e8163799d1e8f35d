"""What this engine does for every sensealg, and the table of them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import _algorithms as algs
from ..._errors import GradientError
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
    ReverseDiffVJP,
    TrackerAdjoint,
    TrackerVJP,
)
from .._base import SolveSpec
from .._strategy import Kept, S, look_up
from ._callbacks import Products
from ._choices import Choices
from ._discrete import can_reverse, reversible
from ._function import JACOBIAN_LIMIT
from ._strategy import Pullback, Strategy, WithoutGradient, eager

# ---- the steps of the forward solve

_NO_CHECKPOINTS = (
    "ReverseDiffAdjoint(checkpointing=True) is there on the embedded engine; leave checkpointing out, or use "
    "GaussAdjoint(checkpointing=True)."
)


class ReversedSteps(Strategy[ReverseDiffAdjoint]):
    """Our own reverse mode through the steps, for torch functions."""

    keep = Kept.STEPS

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if self.sensealg.checkpointing:
            return _NO_CHECKPOINTS
        if can_reverse(alg):
            return ""
        stochastic = isinstance(alg, algs.AbstractStochasticAlgorithm)
        known = ", ".join(f"{cls.__name__}()" for cls in reversible(stochastic=stochastic))
        others = "engine='embedded'" if stochastic else "GaussAdjoint()"
        switches = "" if stochastic else " and switches between them"
        return (
            f"ReverseDiffAdjoint() of a torch function cannot repeat the steps of {alg!r}, only those of {known}"
            f"{switches}; use one of these, or {others}."
        )

    def refuse_solve(self, spec: SolveSpec) -> str:
        reason = super().refuse_solve(spec)
        if not reason and spec.rhs.numel > JACOBIAN_LIMIT and algs.contains_jacobian(spec.alg):
            reason = (
                f"ReverseDiffAdjoint() needs the Jacobian in every step of {spec.alg!r}, which is made up to "
                f"{JACOBIAN_LIMIT} states only, not for {spec.rhs.numel}; use GaussAdjoint()."
            )
        return reason

    def products(self, alg: algs.AbstractAlgorithm) -> Products:
        return Products.JOINT_WITH_TANGENT if algs.contains_jacobian(alg) else Products.JOINT

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        return Pullback(choices.discrete_adjoint(spec.alg), solved_by)


# ---- Julia's AD through the solver


class JuliaCodeOnly(Strategy[S]):
    """Those whose AD cannot see into a torch function."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        return (
            f"{self.sensealg!r} differentiates with Julia's AD, which cannot see into a torch function; use "
            "GaussAdjoint() or ReverseDiffAdjoint(), write f as a JuliaSource, or use the embedded engine."
        )

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        raise AssertionError(self.refuse(spec.alg, mass_matrix=False))


class ThroughSolver(Strategy[S]):
    """Differentiation of the solver itself, which runs once more for it."""

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        return Pullback(choices.sensealg(self.sensealg, "", self.options()), solved_by)


class Recorded(ThroughSolver[S]):
    """Reverse mode through the solver, number by number or array by array."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if algs.contains_jacobian(alg):
            return (
                f"{self.sensealg!r} cannot record {alg!r}, which takes the time derivative of f by forward mode; use "
                "KenCarp4(), FBDF(), or GaussAdjoint()."
            )
        return ""


class RecordedByReverseDiff(Recorded[ReverseDiffAdjoint]):
    """By ReverseDiff.jl."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        return _NO_CHECKPOINTS if self.sensealg.checkpointing else super().refuse(alg, mass_matrix=mass_matrix)

    def options(self) -> dict[str, Any]:
        return {}  # Julia's has none


class Tracker(Recorded[TrackerAdjoint]):
    """By Tracker.jl."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        return super().refuse(alg, mass_matrix=mass_matrix) or _refuse_mass_matrix(self, mass_matrix)


class SensitivityEquations(ThroughSolver[ForwardSensitivity]):
    """The sensitivities solved along with the states."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        return _refuse_mass_matrix(self, mass_matrix)

    def check(self, spec: SolveSpec) -> None:
        super().check(spec)
        if spec.rhs.u0_requires_grad:
            raise GradientError(
                "ForwardSensitivity() does not compute the gradient with respect to u0; use ForwardDiffSensitivity() "
                "or GaussAdjoint(), or pass u0.detach()."
            )

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        # its extended system does not take the dual numbers of an implicit method
        alg = choices.algorithm(spec.alg, finite_differences=True)
        return Pullback(choices.sensealg(self.sensealg, "", self.options()), alg)


def _refuse_mass_matrix(strategy: Strategy[Any], mass_matrix: bool) -> str:
    if not mass_matrix:
        return ""
    return f"{strategy.sensealg!r} does not handle mass matrices; use GaussAdjoint() or ForwardDiffSensitivity()."


# ---- an ODE solved backwards


class Continuous(Strategy[S]):
    """Base of the adjoints that solve an ODE backwards and take a vector-Jacobian product."""

    joint: bool = False
    """Whether the gradient of the parameters is carried along, so that both products are asked for together."""

    def __init__(self, sensealg: S, *, julia_source: bool) -> None:
        super().__init__(sensealg, julia_source=julia_source)
        self._autojacvec = getattr(sensealg, "autojacvec", None)
        self._checkpointing = bool(getattr(sensealg, "checkpointing", False))
        self.keep = Kept.CHECKPOINTS if self._checkpointing else Kept.STEPS

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        if not self.julia_source and self._autojacvec is not None:
            return (
                f"{self.sensealg!r}: the vector-Jacobian products of a torch function are torch's; leave autojacvec "
                "out."
            )
        return ""

    def refuse_solve(self, spec: SolveSpec) -> str:
        reason = super().refuse_solve(spec) or (self._refuse_checkpoints(spec) if self._checkpointing else "")
        if not reason and spec.rhs.mass_matrix is not None:
            reason = self._refuse_matrix(spec.alg, spec.rhs.mass_matrix)
        return reason

    def _refuse_matrix(self, alg: algs.AbstractAlgorithm, matrix: Tensor) -> str:
        """Where gradients would be wrong: SciMLSensitivity takes the zero columns of Mᵀ for the algebraic equations."""
        if algs.has_coarse_dense_output(alg) and self.keep is not Kept.ENDS:
            return (
                f"{self.sensealg!r} reads the states between steps, which {alg!r} does not have with a mass matrix; "
                "use Rodas5P() or FBDF()."
            )
        rows, columns = matrix.ne(0).any(dim=1), matrix.ne(0).any(dim=0)
        if torch.equal(rows, columns) and int(torch.linalg.matrix_rank(matrix)) == int(rows.sum()):
            return ""
        return (
            f"{self.sensealg!r} takes a singular mass matrix only where algebraic equations are rows of zeros, and "
            "algebraic variables the columns of the same numbers; use ReverseDiffAdjoint() with Rodas5P()."
        )

    def _refuse_checkpoints(self, spec: SolveSpec) -> str:
        """Where SciMLSensitivity 7.112 fails.

        Backwards in time it looks checkpoints up out of bounds, which can crash; from states of single precision it
        makes problems of double precision, whose solutions have no place among the others.
        """
        remedy = "leave checkpointing out, or use BacksolveAdjoint()"
        if spec.tspan[1] < spec.tspan[0]:
            return f"{self.sensealg!r} cannot checkpoint a solve backwards in time; {remedy}."
        if spec.rhs.dtype == torch.float32:
            return f"{self.sensealg!r} cannot checkpoint float32 states; use float64, {remedy}."
        return ""

    def algorithm(self, alg: algs.AbstractAlgorithm) -> algs.AbstractAlgorithm:
        return eager(alg) if self._checkpointing else alg

    def products(self, alg: algs.AbstractAlgorithm) -> Products:
        return Products.JOINT if self.joint else Products.SEPARATE

    def brings_vjp(self, rhs: RightHandSide) -> bool:
        """Where the user chose no other way and it is cheap: it spares compiling the adjoint for every f."""
        if self._autojacvec is not None or not isinstance(rhs, SourceRightHandSide):
            return False
        return rhs.numel + sum(leaf.numel() for leaf in leaves(rhs.p)) <= FORWARD_MODE_LIMIT

    def pull_back(self, choices: Choices, spec: SolveSpec, solved_by: int, *, has_vjp: bool) -> Pullback:
        name = "given" if has_vjp else _name_in_julia(self._autojacvec)
        return Pullback(choices.sensealg(self.sensealg, name, self.options()), solved_by)


def _name_in_julia(autojacvec: object) -> str:
    """The name of a choice of products in Julia's table."""
    match autojacvec:
        case None:
            return "ReverseDiffVJP"
        case ReverseDiffVJP(compile=compiled):
            return "ReverseDiffVJP(true)" if compiled else "ReverseDiffVJP"
        case TrackerVJP():
            return "TrackerVJP"
        case flag:
            return "ForwardDiff" if flag else "FiniteDiff"


class Interpolating(Continuous[InterpolatingAdjoint]):
    """The adjoint of states and parameters together."""

    joint = True


class Backsolve(Continuous[BacksolveAdjoint]):
    """The state and its adjoint, both solved backwards; its checkpoints are the states that the user saves."""

    joint = True

    def __init__(self, sensealg: BacksolveAdjoint, *, julia_source: bool) -> None:
        super().__init__(sensealg, julia_source=julia_source)
        self.keep = Kept.ENDS

    def _refuse_checkpoints(self, spec: SolveSpec) -> str:
        return ""


class Quadrature(Continuous[S]):
    """The adjoint of the state, and an integral for the parameters."""

    def refuse(self, alg: algs.AbstractAlgorithm, *, mass_matrix: bool) -> str:
        reason = super().refuse(alg, mass_matrix=mass_matrix)
        if reason:
            return reason
        if isinstance(self._autojacvec, TrackerVJP) or self._autojacvec is True:
            # QuadratureAdjoint would take them, and return a gradient of the parameters that it never wrote to
            return (
                f"{self.sensealg!r} differentiates with respect to parameters by ReverseDiffVJP() or finite "
                "differences (False) only; use these, leave autojacvec out, or use InterpolatingAdjoint."
            )
        if self._checkpointing and mass_matrix:
            return f"{self.sensealg!r} cannot checkpoint with a mass matrix; leave checkpointing out."
        if self._checkpointing and any(part.is_stiff for part in alg.methods):
            # SciMLSensitivity has no place for the solution of an implicit method among its pieces
            return (
                f"{self.sensealg!r} cannot checkpoint {alg!r}, which is implicit; leave checkpointing out, or use "
                "InterpolatingAdjoint(checkpointing=True)."
            )
        return ""


# ---- the table


class Entry(NamedTuple):
    """What is done for a sensealg: for torch functions, and for Julia code."""

    torch: type[Strategy[Any]]
    julia_source: type[Strategy[Any]]


STRATEGIES: dict[type[AbstractSensealg], Entry] = {
    GaussAdjoint: Entry(Quadrature, Quadrature),
    GaussKronrodAdjoint: Entry(Quadrature, Quadrature),
    QuadratureAdjoint: Entry(Quadrature, Quadrature),
    InterpolatingAdjoint: Entry(Interpolating, Interpolating),
    BacksolveAdjoint: Entry(Backsolve, Backsolve),
    ForwardDiffSensitivity: Entry(JuliaCodeOnly, ThroughSolver),
    ForwardSensitivity: Entry(JuliaCodeOnly, SensitivityEquations),
    ReverseDiffAdjoint: Entry(ReversedSteps, RecordedByReverseDiff),
    TrackerAdjoint: Entry(JuliaCodeOnly, Tracker),
}
"""The sensealgs of this engine."""


def strategy_of(sensealg: AbstractSensealg | None, *, julia_source: bool) -> Strategy[Any]:
    """What this engine does for a sensealg, of a torch function or of Julia code (`julia_source`).

    Raises:
        UnsupportedError: it has no such sensealg.
    """
    if sensealg is None:
        return WithoutGradient(None, julia_source=julia_source)
    entry = look_up("julia", STRATEGIES, sensealg)
    return (entry.julia_source if julia_source else entry.torch)(sensealg, julia_source=julia_source)


def strategy_for(spec: SolveSpec) -> Strategy[Any]:
    """What this engine does for the sensealg of a solve."""
    return strategy_of(spec.sensealg, julia_source=isinstance(spec.rhs, SourceRightHandSide))
