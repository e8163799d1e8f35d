"""Step size controllers, as choices. The engines interpret them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstractController:
    """Base of the step size controllers.

    Arguments:
        gamma: safety factor on the proposed step, in (0, 1).
        qmin: a step shrinks at most by this factor.
        qmax: a step grows at most by this factor.
    """

    gamma: float = 0.9
    qmin: float = 0.2
    qmax: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IController(AbstractController):
    """The elementary controller: the new step depends on the last error only.

    Engines: both. References: Hairer, Nørsett, Wanner, *Solving ODEs I*, II.4.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveController(AbstractController):
    """The elementary controller with Gustafsson's forecast of the error, the default of most stiff methods.

    Engines: embedded, and julia for methods with Newton's iteration. References: Gustafsson 1994; Hairer, Wanner,
    *Solving ODEs II*, IV.8.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PIController(AbstractController):
    """Proportional-integral control, the default of the explicit methods.

    Arguments:
        beta1: exponent of the current error; `None` takes 7/(10 order), as OrdinaryDiffEq.jl does.
        beta2: exponent of the previous error; `None` takes 2/(5 order).

    Engines: both. References: Gustafsson 1991; Hairer, Wanner, *Solving ODEs II*, IV.2.
    """

    beta1: float | None = None
    beta2: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PIDController(AbstractController):
    """Proportional-integral-derivative control with a smooth limiter.

    The step factor is `∏ (1/errᵢ)^(betaᵢ/k)` over the last three errors, `k` the order of the error estimate
    plus one, passed through `1 + atan(x - 1)`.

    Arguments:
        beta1, beta2, beta3: the coefficients; the defaults are Söderlind's PI42.
        accept_safety: a step is accepted when the factor is at least this.

    Engines: both. References: Söderlind 2003, *Digital filters in adaptive time-stepping*;
    Ranocha et al. 2021.
    """

    beta1: float = 0.7
    beta2: float = -0.4
    beta3: float = 0.0
    accept_safety: float = 0.81
