"""Which sensealg works for which right-hand side on the julia engine, as a table."""

from ... import _algorithms as algs
from ..._sensealgs import AbstractSensealg
from ._strategies import STRATEGIES, strategy_of

SENSEALGS: tuple[type[AbstractSensealg], ...] = tuple(STRATEGIES)

NOT_AVAILABLE = {
    "ZygoteAdjoint": "Zygote cannot differentiate solvers that work in place",
    "EnzymeAdjoint": "Enzyme does not pass through the function wrappers that spare a compilation for every f",
    "MooncakeAdjoint": "Mooncake does not pass through the function wrappers that spare a compilation for every f",
    "SteadyStateAdjoint": "it differentiates steady states, for which there is no problem class yet",
    "ForwardLSS, AdjointLSS, NILSS, NILSAS": "they differentiate long-time averages, not the values of a solution",
}
"""SciMLSensitivity's other methods, and the reason why they are not here."""


def support_matrix() -> str:
    """The table of sensealgs and right-hand sides for ODEs on the julia engine, in Markdown."""
    rows = [
        "| sensealg, julia engine | torch function or module | `JuliaSource` | `JuliaSource`, Rosenbrock method |",
        "|---|---|---|---|",
    ]
    for cls in SENSEALGS:
        cells = (
            strategy_of(cls(), julia_source=julia_source).refuse(alg, mass_matrix=False)
            for alg, julia_source in ((algs.Rodas5P(), False), (algs.KenCarp4(), True), (algs.Rodas5P(), True))
        )
        rows.append(f"| `{cls.__name__}` | " + " | ".join("no" if cell else "yes" for cell in cells) + " |")
    return "\n".join([*rows, "", *(f"- {name}: {reason}." for name, reason in NOT_AVAILABLE.items())])
