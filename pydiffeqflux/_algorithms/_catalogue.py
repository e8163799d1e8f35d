"""Which engine has which algorithm, as they themselves declare it."""

import sys

from .._noise import NoiseKind
from ._base import AbstractAlgorithm, Engine, EquationKind
from ._default import DefaultODEAlgorithm
from ._delay import MethodOfSteps
from ._julia_algorithm import JuliaAlgorithm
from ._stochastic import AbstractStochasticAlgorithm, DefaultSDEAlgorithm
from ._switching import AutoAlgSwitch, has_coarse_dense_output

_NO_METHODS = (AutoAlgSwitch, DefaultODEAlgorithm, DefaultSDEAlgorithm, JuliaAlgorithm, MethodOfSteps)
"""Those that stand for other methods."""


def all_algorithms() -> list[type[AbstractAlgorithm]]:
    """The methods of this package for equations without noise, those that are not stiff first, by order."""
    return sorted(
        (cls for cls in _methods() if not issubclass(cls, AbstractStochasticAlgorithm)),
        key=lambda cls: (cls.is_stiff, cls.order, cls.__name__),
    )


def stochastic_algorithms() -> list[type[AbstractStochasticAlgorithm]]:
    """The methods of this package for equations with noise, in the same order."""
    return sorted(
        (cls for cls in _methods() if issubclass(cls, AbstractStochasticAlgorithm)),
        key=lambda cls: (cls.is_stiff, cls.strong_order, cls.__name__),
    )


def _methods() -> list[type[AbstractAlgorithm]]:
    classes = [cls for cls in vars(sys.modules[__package__ or ""]).values() if isinstance(cls, type)]
    methods = [cls for cls in classes if issubclass(cls, AbstractAlgorithm) and not issubclass(cls, _NO_METHODS)]
    return [cls for cls in methods if not cls.__name__.startswith("Abstract")]


def algorithms_of(engine: Engine) -> list[type[AbstractAlgorithm]]:
    """The methods without noise that an engine has, in the order of `all_algorithms`."""
    return [cls for cls in all_algorithms() if engine in cls.engines]


def refuse_algorithm(engine: Engine, alg: AbstractAlgorithm) -> str:
    """Why an engine cannot carry out an algorithm, as a sentence with what to use instead; empty where it can."""
    for part in (alg, *alg.methods):
        if engine in part.engines:
            continue
        if engine == "embedded":
            noisy = isinstance(part, AbstractStochasticAlgorithm)
            has = stochastic_algorithms() if noisy else algorithms_of(engine)
            known = ", ".join(f"{cls.__name__}()" for cls in has)
            return f"the embedded engine has no {part!r}; it has {known}."
        if "embedded" in part.engines:
            return f"the julia engine has no {part!r}; use engine='embedded', which has it."
        return f"the julia engine has no {part!r}; name a method of Julia's by JuliaAlgorithm('name', package='...')."
    return ""


def default_algorithm(kind: EquationKind) -> AbstractAlgorithm:
    """What `alg=None` means for an equation."""
    defaults = {EquationKind.STOCHASTIC: DefaultSDEAlgorithm, EquationKind.DELAY: MethodOfSteps}
    return defaults.get(kind, DefaultODEAlgorithm)()


_FOR = {
    EquationKind.ORDINARY: ("equations without noise and delays", "Tsit5() or Rodas5P()", "an ODEProblem"),
    EquationKind.STOCHASTIC: ("equations with noise", "SOSRI(), LambaEM() or EM()", "an SDEProblem"),
    EquationKind.DELAY: ("equations with delays", "MethodOfSteps(Tsit5())", "a DDEProblem"),
}


def refuse_kind(alg: AbstractAlgorithm, kind: EquationKind, tspan: tuple[float, float]) -> str:
    """Why an algorithm is not for a kind of equation, as a sentence; empty where it is."""
    if isinstance(alg, JuliaAlgorithm):
        return ""
    if alg.kind is not kind:
        equations, _, problem = _FOR[alg.kind]
        other = f"MethodOfSteps({alg!r})" if _steps_of_delays(alg, kind) else _FOR[kind][1]
        return f"{alg!r} is for {equations}; use {other}, or make it {problem}."
    if isinstance(alg, AbstractStochasticAlgorithm) and tspan[1] < tspan[0] and alg.interprets == "ito":
        return (
            f"{alg!r} cannot run backwards from t = {tspan[0]} to {tspan[1]}: Itô's integral looks at the start of "
            "every step, and backwards that is another equation; use a method for Stratonovich's, such as EulerHeun()."
        )
    return ""


def _steps_of_delays(alg: AbstractAlgorithm, kind: EquationKind) -> bool:
    """Whether an algorithm can make the steps of a delay equation."""
    return kind is EquationKind.DELAY and alg.kind is EquationKind.ORDINARY and not has_coarse_dense_output(alg)


def algorithm_table() -> str:
    """All methods with their facts, in Markdown."""
    rows = ["| algorithm | order | stiff | steps | engines |", "|---|---|---|---|---|"]
    for cls in all_algorithms():
        stiff, steps = ("yes" if cls.is_stiff else "no"), ("adaptive" if cls.is_adaptive else "fixed, by `dt`")
        rows.append(f"| `{cls.__name__}` | {cls.order} | {stiff} | {steps} | {', '.join(sorted(cls.engines))} |")
    return "\n".join(rows)


def stochastic_algorithm_table() -> str:
    """All methods for equations with noise with their facts, in Markdown."""
    rows = [
        "| algorithm | integral | strong order | weak order | noise | stiff | steps | engines |",
        "|---|---|---|---|---|---|---|---|",
    ]
    integrals = {"ito": "Itô", "stratonovich": "Stratonovich"}
    for cls in stochastic_algorithms():
        both = "interpretation" in cls.__dataclass_fields__
        integral = "either" if both else integrals[cls().interprets]
        noise = "additive" if cls.additive else "any" if NoiseKind.GENERAL in cls.kinds else "diagonal, scalar"
        stiff, steps = ("yes" if cls.is_stiff else "no"), ("adaptive" if cls.is_adaptive else "fixed, by `dt`")
        facts = (integral, f"{cls.strong_order:g}", f"{cls.weak_order:g}", noise, stiff, steps)
        rows.append(f"| `{cls.__name__}` | {' | '.join(facts)} | {', '.join(sorted(cls.engines))} |")
    return "\n".join(rows)
