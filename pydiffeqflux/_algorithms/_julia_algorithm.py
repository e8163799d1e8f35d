"""Any algorithm of the Julia ecosystem, by name."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

from .._errors import InvalidOptionError
from ._base import JULIA, AbstractAlgorithm


@dataclass(frozen=True, slots=True, init=False, repr=False)
class JuliaAlgorithm(AbstractAlgorithm):
    """`package.name(; options...)` in Julia.

    Its order and stability are Julia's affair: `order` is 0 and `is_stiff` says nothing.

    Arguments:
        name: the name of the constructor, for example `"Vern8"`.
        package: the Julia package that has it; `None` for one of the algorithms that pydiffeqflux has a class for. It
            must be in the Julia project: `juliapkg.add` and then `python -m pydiffeqflux setup` put it there.
        **options: keyword arguments: numbers, Bools, `None`, strings (which become Symbols), or another
            `JuliaAlgorithm` for an option that is an object itself.

    Raises:
        InvalidOptionError: an option cannot be passed to Julia.

    Engines: julia.

    >>> JuliaAlgorithm("Vern8", package="OrdinaryDiffEqVerner", lazy=False)
    JuliaAlgorithm('Vern8', package='OrdinaryDiffEqVerner', lazy=False)
    """

    engines = JULIA
    order = 0
    is_stiff = True

    name: str
    package: str | None
    options: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, *, package: str | None = None, **options: Any) -> None:
        for key, value in options.items():
            if value is not None and not isinstance(value, bool | Real | str | JuliaAlgorithm):
                raise InvalidOptionError(
                    f"{key} is {value!r}; an option of a JuliaAlgorithm is a number, a bool, None, a string (a Symbol "
                    "in Julia), or another JuliaAlgorithm."
                )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "package", package)
        object.__setattr__(self, "options", tuple(options.items()))

    def __repr__(self) -> str:
        package = [] if self.package is None else [f"package={self.package!r}"]
        parts = [repr(self.name), *package, *(f"{key}={value!r}" for key, value in self.options)]
        return f"JuliaAlgorithm({', '.join(parts)})"
