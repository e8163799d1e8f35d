"""How a solve ended."""

from enum import Enum


class ReturnCode(Enum):
    """How a solve ended; `remedy` says what to try.

    The names are SciMLBase's, but for `NonFiniteJacobian` and `UnresolvedTime`, which the embedded engine tells apart.

    >>> ReturnCode.MaxIters.success
    False
    >>> ReturnCode.MaxIters.remedy
    'raise maxiters, loosen the tolerances, or use a stiff algorithm such as Rodas5P()'
    """

    Success = "Success"
    MaxIters = "MaxIters"
    DtLessThanMin = "DtLessThanMin"
    Unstable = "Unstable"
    InitialFailure = "InitialFailure"
    ConvergenceFailure = "ConvergenceFailure"
    NonFiniteJacobian = "NonFiniteJacobian"
    UnresolvedTime = "UnresolvedTime"
    Failure = "Failure"

    @property
    def success(self) -> bool:
        """Whether the solution reached the end of the time span."""
        return self is ReturnCode.Success

    @property
    def remedy(self) -> str:
        """What to try, as a phrase. Empty for `Success`."""
        return _REMEDIES[self]


_REMEDIES = {
    ReturnCode.Success: "",
    ReturnCode.MaxIters: "raise maxiters, loosen the tolerances, or use a stiff algorithm such as Rodas5P()",
    ReturnCode.DtLessThanMin: (
        "the step size fell below dtmin: look for a singularity or a discontinuity near this time "
        "(name it in tstops), use float64, or use a stiff algorithm such as Rodas5P()"
    ),
    ReturnCode.Unstable: (
        "the state or its derivative became infinite or NaN: check the model, tighten the tolerances, "
        "or reduce dt of a fixed-step method"
    ),
    ReturnCode.InitialFailure: "f(u0, p, t0) is infinite or NaN: check u0, p and the model",
    ReturnCode.ConvergenceFailure: (
        "Newton's iteration of the implicit method failed at the smallest step: check that f is smooth, "
        "or use a Rosenbrock method such as Rodas5P()"
    ),
    ReturnCode.NonFiniteJacobian: (
        "f is finite, but its derivative with respect to u or t is infinite or NaN: look for sqrt, norm, log or a "
        "power at zero, also in the branch that torch.where does not take (give that branch a harmless argument), or "
        "use an explicit method such as Tsit5()"
    ),
    ReturnCode.UnresolvedTime: (
        "f changes too much between neighbouring times of the dtype of u0: use a float64 state, or shift time so that "
        "it starts near zero"
    ),
    ReturnCode.Failure: "the solver gave up: check the model, or use another algorithm",
}
