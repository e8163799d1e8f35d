"""Sensitivity algorithms: how the gradient of a solution is computed.

All are frozen dataclasses without behaviour, named as in SciMLSensitivity.jl. With N the number of states, P of
parameters and S of steps:

| | cost of a gradient | memory | exact for |
|---|---|---|---|
| `ForwardDiffSensitivity` | O(S N (N + P)) | O(S N) | the discrete solution |
| `ReverseDiffAdjoint` | about two solves | O(S) evaluations of f | the discrete solution |
| `InterpolatingAdjoint` | one solve of N + P states backwards | O(S N), or O(N log S) with `checkpointing` | the ODE |
| `GaussAdjoint` | one solve of N states backwards and a quadrature | as above | the ODE |
| `QuadratureAdjoint` | the same, the quadrature adaptive | O(S N) twice | the ODE |
| `BacksolveAdjoint` | one solve of 2N + P states backwards | O(N) | reversible ODEs only |
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, repr=False)
class AbstractSensealg:
    """Base of the sensitivity algorithms. Only options that differ from their defaults are printed."""

    def __repr__(self) -> str:
        chosen = [
            f"{option.name}={getattr(self, option.name)!r}"
            for option in fields(self)
            if getattr(self, option.name) != option.default
        ]
        return f"{type(self).__name__}({', '.join(chosen)})"


@dataclass(frozen=True, slots=True)
class ReverseDiffVJP:
    """Vector-Jacobian products of a `JuliaSource` by ReverseDiff.jl, an option of the continuous adjoints.

    Arguments:
        compile: compile the tape once and replay it. Faster, but wrong where `f` branches on values of `u`, `p` or `t`.
    """

    compile: bool = False


@dataclass(frozen=True, slots=True)
class TrackerVJP:
    """Vector-Jacobian products of a `JuliaSource` by Tracker.jl, an option of the continuous adjoints."""


Autojacvec = ReverseDiffVJP | TrackerVJP | bool | None
"""How Julia computes λᵀ ∂f/∂u of a `JuliaSource`: as named, `True` by ForwardDiff, `False` by finite differences,
`None` by ForwardDiff up to 100 states and parameters together and by `ReverseDiffVJP()` above. For torch functions
torch does it, and only `None` is accepted."""


@dataclass(frozen=True, slots=True, repr=False)
class ReverseDiffAdjoint(AbstractSensealg):
    """Reverse-mode differentiation through the steps of the solver ("discretise, then optimise").

    The gradient is exact for the numbers that `solve` returned, whatever the tolerance; the step sizes are held fixed.
    Use it for small and medium problems, for stiff ones, with mass matrices, and wherever a continuous adjoint
    is in doubt. Memory grows with the number of steps, unless there is checkpointing.

    Arguments:
        checkpointing: keep O(log S) states, and make the steps again in pieces of 64; on the embedded engine.

    Problems: ODE, also with mass matrices; SDE, on the noise that was drawn, where it is the default. Engines: both.
    On the julia engine it is the default for torch functions and explicit methods: the steps of `Euler`, `Midpoint`,
    `Heun`, `RK4`, `BS3`, `DP5`, `Tsit5`, `Vern7`, and of `Rosenbrock23`, `Rodas4`
    and `Rodas5P` (which contain the Jacobian, so that `f` must be twice differentiable; up to 2000 states), and of
    switches between these are run backwards from what the solver kept, with one joint vector-Jacobian product a stage.
    For a `JuliaSource` ReverseDiff.jl records every step number by number; not with Rosenbrock methods.
    """

    checkpointing: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class TrackerAdjoint(AbstractSensealg):
    """Reverse mode through the steps of Julia's solver by Tracker.jl, with operations on whole arrays.

    Problems: ODE. Engines: julia for a `JuliaSource`, not with Rosenbrock methods.
    """


@dataclass(frozen=True, slots=True, repr=False)
class ForwardSensitivity(AbstractSensealg):
    """The sensitivity equations ∂u/∂p are solved along with the ODE, N (1 + P) states together.

    The gradient with respect to u0 is not computed; asking for it is an error.

    Problems: ODE. Engines: julia for a `JuliaSource`.
    References: Hindmarsh et al. 2005 (CVODES).
    """


@dataclass(frozen=True, slots=True, repr=False)
class ForwardDiffSensitivity(AbstractSensealg):
    """Forward mode through the steps of the solver: the sensitivities ∂u/∂(u0, p) are carried along.

    Exact for the numbers that `solve` returned, the step sizes held fixed. Fastest where N + P is small: it is the
    default up to 100 states and parameters together.

    `f` must go through `torch.func.vmap` (no branches on values of `u`). Of an `f` that torch.compile cannot follow,
    parameters must come through `p`.

    Problems: ODE, also with mass matrices. Engines: embedded; julia for a `JuliaSource` (by ForwardDiff.jl, with steps
    chosen anew). Source: SciMLSensitivity's method of this name.
    """


@dataclass(frozen=True, slots=True, repr=False)
class BacksolveAdjoint(AbstractSensealg):
    """The adjoint of Chen et al. 2018: the ODE itself is solved backwards together with its adjoint.

    Memory does not depend on the number of steps. Wrong for problems whose reversed ODE is unstable (stiff or
    dissipative ones): compare with another method before trusting it ([`compare_sensealgs`][] does).

    Arguments:
        checkpointing: reset the backward solution to the saved values at the save points.
        autojacvec: how Julia differentiates a `JuliaSource`, see [`ReverseDiffVJP`][].

    Problems: ODE, on the julia engine also with mass matrices. Engines: both.
    References: Chen, Rubanova, Bettencourt, Duvenaud 2018, *Neural ordinary differential equations*.
    """

    checkpointing: bool = True
    autojacvec: Autojacvec = None


@dataclass(frozen=True, slots=True, repr=False)
class InterpolatingAdjoint(AbstractSensealg):
    """The adjoint ODE is solved backwards, the states read from the dense output of the forward solution.

    Arguments:
        checkpointing: keep O(log S) states instead of the dense output and recompute the rest in pieces of at most
            64 steps.
        autojacvec: how Julia differentiates a `JuliaSource`, see [`ReverseDiffVJP`][].

    Problems: ODE, on the julia engine also with mass matrices. Engines: both.
    References: Hindmarsh et al. 2005 (CVODES).
    """

    checkpointing: bool = False
    autojacvec: Autojacvec = None


@dataclass(frozen=True, slots=True, repr=False)
class QuadratureAdjoint(AbstractSensealg):
    """The adjoint state is solved backwards densely; the parameter gradient is an adaptive Gauss-Kronrod quadrature.

    Good for stiff problems with few parameters. On the julia engine the quadrature begins with the steps of the
    adjoint, so that it does not miss transients behind a save point.

    Arguments:
        abstol, reltol: tolerances of the quadrature; `None` takes those of the solve.
        autojacvec: how Julia differentiates a `JuliaSource`, see [`ReverseDiffVJP`][].

    Problems: ODE, on the julia engine also with mass matrices. Engines: both.
    References: Kim et al. 2021, *Stiff neural ODEs*.
    """

    abstol: float | None = None
    reltol: float | None = None
    autojacvec: Autojacvec = None


@dataclass(frozen=True, slots=True, repr=False)
class GaussAdjoint(AbstractSensealg):
    """The adjoint state is solved backwards; the parameter gradient is integrated by Gauss quadrature on each step.

    The default above 100 states and parameters: the backward solve has N states only, however many parameters.

    Arguments:
        checkpointing: as for [`InterpolatingAdjoint`][].
        autojacvec: how Julia differentiates a `JuliaSource`, see [`ReverseDiffVJP`][].

    Problems: ODE, on the julia engine also with mass matrices. Engines: both.
    Source: SciMLSensitivity's method of this name.
    """

    checkpointing: bool = False
    autojacvec: Autojacvec = None


@dataclass(frozen=True, slots=True, repr=False)
class GaussKronrodAdjoint(AbstractSensealg):
    """As `GaussAdjoint`, with a Gauss-Kronrod quadrature that is refined until it is accurate.

    Arguments:
        checkpointing: as for [`InterpolatingAdjoint`][].
        autojacvec: how Julia differentiates a `JuliaSource`, see [`ReverseDiffVJP`][].

    Problems: ODE, also with mass matrices. Engines: julia. Source: SciMLSensitivity's method of this name.
    """

    checkpointing: bool = False
    autojacvec: Autojacvec = None


FORWARD_MODE_LIMIT = 100
"""Up to this many states and parameters together, forward mode is the default, as in SciMLSensitivity."""
