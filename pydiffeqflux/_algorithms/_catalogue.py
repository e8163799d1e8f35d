"""Which engine has which algorithm, as they themselves declare it."""

import sys

from ._base import AbstractAlgorithm, Engine
from ._default import DefaultODEAlgorithm
from ._julia_algorithm import JuliaAlgorithm
from ._switching import AutoAlgSwitch, methods_of

_NO_METHODS = (AutoAlgSwitch, DefaultODEAlgorithm, JuliaAlgorithm)
"""Those that stand for other methods."""


def all_algorithms() -> list[type[AbstractAlgorithm]]:
    """The methods of this package, those that are not stiff first, by order."""
    classes = [cls for cls in vars(sys.modules[__package__ or ""]).values() if isinstance(cls, type)]
    methods = [cls for cls in classes if issubclass(cls, AbstractAlgorithm) and not issubclass(cls, _NO_METHODS)]
    concrete = [cls for cls in methods if not cls.__name__.startswith("Abstract")]
    return sorted(concrete, key=lambda cls: (cls.is_stiff, cls.order, cls.__name__))


def algorithms_of(engine: Engine) -> list[type[AbstractAlgorithm]]:
    """The methods that an engine has, in the order of `all_algorithms`."""
    return [cls for cls in all_algorithms() if engine in cls.engines]


def refuse_algorithm(engine: Engine, alg: AbstractAlgorithm) -> str:
    """Why an engine cannot carry out an algorithm, as a sentence with what to use instead; empty where it can."""
    for part in (alg, *methods_of(alg)):
        if engine in part.engines:
            continue
        if engine == "embedded":
            known = ", ".join(f"{cls.__name__}()" for cls in algorithms_of(engine))
            return f"the embedded engine has no {part!r}; it has {known}."
        if "embedded" in part.engines:
            return f"the julia engine has no {part!r}; use engine='embedded', which has it."
        return f"the julia engine has no {part!r}; name a method of Julia's by JuliaAlgorithm('name', package='...')."
    return ""


def algorithm_table() -> str:
    """All methods with their facts, in Markdown."""
    rows = ["| algorithm | order | stiff | steps | engines |", "|---|---|---|---|---|"]
    for cls in all_algorithms():
        stiff, steps = ("yes" if cls.is_stiff else "no"), ("adaptive" if cls.is_adaptive else "fixed, by `dt`")
        rows.append(f"| `{cls.__name__}` | {cls.order} | {stiff} | {steps} | {', '.join(sorted(cls.engines))} |")
    return "\n".join(rows)
