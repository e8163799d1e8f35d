"""Methods for stochastic differential equations, after StochasticDiffEq.jl."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .. import _tableaus as tab
from .._errors import InvalidOptionError
from .._noise import NoiseKind, NoiseLayout
from ._base import BOTH, EMBEDDED, AbstractAlgorithm, Engine, EquationKind

Interpretation = Literal["ito", "stratonovich"]
"""Which of the two integrals the noise term of an equation stands for."""


@dataclass(frozen=True, slots=True)
class AbstractStochasticAlgorithm(AbstractAlgorithm):
    """Base of the methods for stochastic equations.

    Attributes:
        strong_order: order of convergence of single paths, for the noise that the method is made for.
        weak_order: order of convergence of means.
        integral: the one that it solves for, where that is no option.
        kinds: the noise that it is made for.
        additive: whether the diffusion must not depend on the state.
        needs_area: whether steps are made of the space-time Lévy area, too.
    """

    engines: ClassVar[frozenset[Engine]] = EMBEDDED
    kind: ClassVar[EquationKind] = EquationKind.STOCHASTIC
    order: ClassVar[int] = 1
    integral: ClassVar[Interpretation] = "ito"
    strong_order: ClassVar[float]
    weak_order: ClassVar[float] = 1.0
    kinds: ClassVar[frozenset[NoiseKind]] = frozenset(NoiseKind)
    additive: ClassVar[bool] = False
    needs_area: ClassVar[bool] = False
    coarse_dense_output: ClassVar[bool] = True

    @property
    def interprets(self) -> Interpretation:
        """The integral that this choice of the method solves for."""
        return self.integral

    def refuse(self, layout: NoiseLayout, depends_on_state: bool | None) -> str:
        """Why it cannot be used with a noise, as a sentence with what to use instead; empty where it can.

        Arguments:
            layout: how the noise enters.
            depends_on_state: whether the diffusion does; `None` where that is not known.
        """
        if layout.kind not in self.kinds:
            other = "EulerHeun()" if self.interprets == "stratonovich" else "EM() or LambaEM()"
            return (
                f"{self!r} is for diagonal or scalar noise, but g returns several motions for every row of the state; "
                f"use {other}."
            )
        if self.additive and depends_on_state:
            return f"{self!r} is for additive noise, but g depends on u; use SOSRI() or SRIW1()."
        return ""


_ELEMENTWISE = frozenset({NoiseKind.DIAGONAL, NoiseKind.SCALAR})


@dataclass(frozen=True, slots=True)
class EM(AbstractStochasticAlgorithm):
    """Euler-Maruyama, with fixed steps. Itô; strong order 0.5, 1 for additive noise; any noise.

    Arguments:
        split: evaluate `g` after the drift has been added, which is more stable, and what Julia does; `False` is the
            classical scheme.

    Engines: both. Source: StochasticDiffEq.jl's method of this name.
    """

    split: bool = True
    engines: ClassVar[frozenset[Engine]] = BOTH
    is_adaptive: ClassVar[bool] = False
    strong_order: ClassVar[float] = 0.5


@dataclass(frozen=True, slots=True)
class LambaEM(AbstractStochasticAlgorithm):
    """Euler-Maruyama with an error estimate. Itô; strong order 0.5, 1 for additive noise; any noise.

    Arguments:
        split: as for [`EM`][].

    Engines: both. References: Lamba 2003, *An adaptive timestepping algorithm for stochastic differential
    equations*; the estimate for general noise is the first neglected term along the increments that were drawn.
    """

    split: bool = True
    engines: ClassVar[frozenset[Engine]] = BOTH
    strong_order: ClassVar[float] = 0.5


@dataclass(frozen=True, slots=True)
class EulerHeun(AbstractStochasticAlgorithm):
    """Euler-Heun, with fixed steps. Stratonovich; strong order 0.5, 1 for commutative noise; any noise.

    Engines: both. Source: StochasticDiffEq.jl's method of this name.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    is_adaptive: ClassVar[bool] = False
    strong_order: ClassVar[float] = 0.5
    integral: ClassVar[Interpretation] = "stratonovich"


@dataclass(frozen=True, slots=True)
class RKMil(AbstractStochasticAlgorithm):
    """Milstein's method without derivatives. Strong order 1; diagonal or scalar noise.

    Arguments:
        interpretation: `"ito"` or `"stratonovich"`.

    Raises:
        InvalidOptionError: it is neither.

    Engines: both. Source: StochasticDiffEq.jl's method of this name.
    References: Kloeden, Platen 1992, *Numerical solution of stochastic differential equations*, 11.1.
    """

    interpretation: Interpretation = "ito"
    engines: ClassVar[frozenset[Engine]] = BOTH
    strong_order: ClassVar[float] = 1.0
    kinds: ClassVar[frozenset[NoiseKind]] = _ELEMENTWISE

    def __post_init__(self) -> None:
        if self.interpretation not in ("ito", "stratonovich"):
            raise InvalidOptionError(f"interpretation must be 'ito' or 'stratonovich', not {self.interpretation!r}.")

    @property
    def interprets(self) -> Interpretation:
        return self.interpretation


@dataclass(frozen=True, slots=True)
class AbstractRossler(AbstractStochasticAlgorithm):
    """Base of the stochastic Runge-Kutta methods of Rößler's form.

    Attributes:
        tableau: the coefficients.
    """

    tableau: ClassVar[tab.RosslerTableau]
    needs_area: ClassVar[bool] = True
    strong_order: ClassVar[float] = 1.5
    weak_order: ClassVar[float] = 2.0


@dataclass(frozen=True, slots=True)
class SRIW1(AbstractRossler):
    """Rößler's SRIW1. Itô; strong order 1.5, weak order 2; diagonal or scalar noise.

    Engines: both. References: Rößler 2010.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[tab.RosslerTableau] = tab.SRIW1
    kinds: ClassVar[frozenset[NoiseKind]] = _ELEMENTWISE


@dataclass(frozen=True, slots=True)
class SOSRI(AbstractRossler):
    """SRI with a large region of stability, the default for diagonal noise. Itô; strong order 1.5, weak order 2.

    For diagonal or scalar noise. Engines: both. References: Rackauckas, Nie 2020.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[tab.RosslerTableau] = tab.SOSRI
    kinds: ClassVar[frozenset[NoiseKind]] = _ELEMENTWISE


@dataclass(frozen=True, slots=True)
class SRA1(AbstractRossler):
    """Rößler's SRA1 for additive noise of any shape. Strong order 1.5, weak order 2.

    Engines: both. References: Rößler 2010.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[tab.RosslerTableau] = tab.SRA1
    additive: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SOSRA(AbstractRossler):
    """SRA with a large region of stability, the default for additive noise of any shape. Strong order 1.5.

    Engines: both. References: Rackauckas, Nie 2020.
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    tableau: ClassVar[tab.RosslerTableau] = tab.SOSRA
    additive: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ImplicitEM(AbstractStochasticAlgorithm):
    """Euler-Maruyama with an implicit drift, for stiff drifts. Itô; strong order 0.5, 1 for additive noise; any noise.

    Arguments:
        theta: the weight of the drift at the end of the step: 1 for implicit Euler, 0.5 for the trapezoidal rule.

    Raises:
        InvalidOptionError: it is not between 0.5 and 1.

    Engines: both. Source: StochasticDiffEq.jl's method of this name.
    """

    theta: float = 1.0
    engines: ClassVar[frozenset[Engine]] = BOTH
    is_stiff: ClassVar[bool] = True
    strong_order: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        if not 0.5 <= self.theta <= 1.0:
            raise InvalidOptionError(f"theta is {self.theta}; it must lie between 0.5 and 1.")


@dataclass(frozen=True, slots=True)
class ReversibleHeun(AbstractStochasticAlgorithm):
    """The reversible Heun method, with fixed steps. Stratonovich; strong order 0.5, 1 for additive noise; any noise.

    Its steps can be undone exactly, so that `BacksolveAdjoint()` gives the gradient of the very numbers that were
    computed, in memory that does not grow with the steps.

    Engines: embedded. References: Kidger, Foster, Li, Lyons 2021, *Efficient and accurate gradients for neural SDEs*.
    """

    is_adaptive: ClassVar[bool] = False
    strong_order: ClassVar[float] = 0.5
    integral: ClassVar[Interpretation] = "stratonovich"


@dataclass(frozen=True, slots=True)
class DefaultSDEAlgorithm(AbstractStochasticAlgorithm):
    """What `alg=None` means for an [`SDEProblem`][], by the noise that is found, as in DifferentialEquations.jl.

    | noise | method |
    |---|---|
    | additive, of any shape | `SOSRA()` |
    | diagonal or scalar | `SOSRI()` |
    | general | `LambaEM()` |
    """

    engines: ClassVar[frozenset[Engine]] = BOTH
    strong_order: ClassVar[float] = 1.5


def choose_default_stochastic(layout: NoiseLayout, depends_on_state: bool | None) -> AbstractStochasticAlgorithm:
    """What `DefaultSDEAlgorithm()` means for a noise."""
    if depends_on_state is False:
        return SOSRA()
    return SOSRI() if layout.is_elementwise else LambaEM()
