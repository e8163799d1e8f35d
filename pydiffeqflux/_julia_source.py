"""Right-hand sides written in Julia."""

from dataclasses import dataclass
from typing import Any, NoReturn

from ._errors import InvalidProblemError, UnsupportedError


@dataclass(frozen=True, slots=True)
class JuliaSource:
    """A right-hand side as Julia code, for the julia engine: no Python runs during the solve.

    The code evaluates to a function `f(du, u, p, t)`, which writes the derivative to `du`, or `f(u, p, t)`, which
    returns it. It may hold several definitions, of which the last one is taken. It runs in a module of its own, where
    `dot`, `norm`, `mul!`, `I` and `LinearAlgebra` are at hand; anything else is reached with `using` or `import`.

    `u` is a vector, or an array of the *reversed* shape: a batch `(B, 3)` in Python is `(3, B)` in Julia, on the same
    memory. A tensor of parameters is passed likewise, a number (0-d tensor) as a number, a dict as a named tuple, a
    list or tuple as a tuple. Number types must be left open, so that Julia's automatic differentiation can pass its
    own: write `zero(u[1])`, not `0.0`, where an array is made.

    Arguments:
        code: the source.

    Raises:
        InvalidProblemError: the code is not text, or empty. What Julia finds wrong with it is raised by `solve`.

    Engines: julia.

    >>> lorenz = JuliaSource('''
    ... function lorenz(du, u, p, t)
    ...     du[1] = p[1] * (u[2] - u[1])
    ...     du[2] = u[1] * (p[2] - u[3]) - u[2]
    ...     du[3] = u[1] * u[2] - p[3] * u[3]
    ... end''')
    """

    code: str

    def __post_init__(self) -> None:
        if not isinstance(self.code, str) or not self.code.strip():
            raise InvalidProblemError(
                "JuliaSource takes Julia code as text that evaluates to a function f(du, u, p, t)."
            )

    def __call__(self, u: Any, p: Any, t: Any) -> NoReturn:
        """Refuse: Python cannot evaluate Julia code."""
        raise UnsupportedError(
            "a JuliaSource can be solved by the julia engine only; pass engine='julia', or write f as a torch function."
        )
