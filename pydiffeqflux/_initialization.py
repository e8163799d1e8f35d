"""How a problem with algebraic equations gets initial values that fulfil them: choices, without behaviour."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AbstractInitialization:
    """Base of the choices for `solve(..., initializealg=)`."""


@dataclass(frozen=True, slots=True)
class CheckInit(AbstractInitialization):
    """Take the initial values as they are, and refuse those that violate an algebraic equation.

    Engines: both. Source: SciMLBase's `CheckInit`.
    """


@dataclass(frozen=True, slots=True)
class BrownFullBasicInit(AbstractInitialization):
    """Keep the differential variables, and solve the algebraic equations for all others.

    Newton's iteration starts from the initial values that were given. The gradient passes it by the implicit function
    theorem.

    Engines: both. References: Brown, Hindmarsh, Petzold 1998, *Consistent initial condition calculation for
    differential-algebraic systems*; OrdinaryDiffEq.jl's `BrownFullBasicInit`.
    """


@dataclass(frozen=True, slots=True)
class ShampineCollocationInit(AbstractInitialization):
    """Make a tiny implicit Euler step, which may move every variable a little.

    Arguments:
        initdt: its size; `None` for a 1e-8th of the time span (1e-4th in float32).

    Engines: both. References: Shampine 2002, *Solving 0 = F(t, y(t), y'(t)) in MATLAB*; OrdinaryDiffEq.jl's
    `ShampineCollocationInit`.
    """

    initdt: float | None = None
