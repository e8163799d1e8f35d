"""The result of a solve."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._algorithms import AbstractAlgorithm
from ._autograd import differentiable_evaluate
from ._engines import AbstractEngine, RawSolution, Stats
from ._errors import InvalidOptionError, SolverError
from ._noise import BrownianPath
from ._problems import AbstractProblem
from ._retcode import ReturnCode
from ._sensealgs import AbstractSensealg
from ._times import GivenTimes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """A solution: saved times and states, how the solve ended, and what it cost.

    Attributes:
        t: saved times, shape `(T,)`, real, of the precision and on the device of `u0`.
        u: saved states, shape `(T, *u0.shape)`. A tensor connected to u0, p and the parameters of the model, or an
            array where `u0` was not a tensor.
        retcode: how the solve ended. One that failed (`throw=False`) holds what was saved before.
        stats: numbers of evaluations, steps, Jacobians and factorisations.
        alg: the algorithm.
        sensealg: the sensitivity algorithm that a backward pass uses, `None` where no gradient was asked for.
        engine: the name of the engine that ran.
        engine_reason: why it was that one.
        prob: the problem; `None` in a solution that was detached or loaded from a file.

    A solution can be pickled, and saved by `torch.save`: as it is after `detach()`.
    """

    t: Any
    u: Any
    retcode: ReturnCode
    stats: Stats
    alg: AbstractAlgorithm
    sensealg: AbstractSensealg | None
    engine: str
    engine_reason: str
    prob: AbstractProblem | None
    _engine: AbstractEngine | None
    _raw: RawSolution | None
    _times: GivenTimes | None

    @property
    def noise(self) -> BrownianPath | None:
        """The path that drove a stochastic equation; give it to another problem for the same noise."""
        return None if self._raw is None else self._raw.spec.noise

    def detach(self) -> "Solution":
        """The saved times and states alone, without gradient and dense output, and what they hold in memory."""
        u = self.u.detach() if isinstance(self.u, Tensor) else self.u
        return replace(self, u=u, prob=None, _engine=None, _raw=None, _times=None)

    def __reduce__(self) -> tuple[Any, ...]:
        kept = self.detach()
        return type(self), tuple(getattr(kept, part.name) for part in fields(kept))

    def __call__(self, t: float | Sequence[float] | NDArray[Any] | Tensor, derivative: int = 0) -> Any:
        """The solution at any time of the time span, by the dense output of the method.

        Arguments:
            t: a number, giving shape `u0.shape`, or times in any order, giving `(len(t), *u0.shape)`. A tensor has
                a gradient, by `f` at these times.
            derivative: 0 for the state, 1 for its time derivative, and so on.

        Returns:
            A tensor through which gradients flow as through `u` (states only), or an array where `u` is one.

        Raises:
            InvalidOptionError: the solve was not dense, or a time is outside of what was solved.

        >>> import torch
        >>> from pydiffeqflux import ODEProblem, Tsit5, solve
        >>> prob = ODEProblem(lambda u, p, t: -u, torch.ones(1, dtype=torch.float64), (0.0, 1.0))
        >>> sol = solve(prob, Tsit5(), reltol=1e-8, abstol=1e-8)
        >>> f"{sol(0.5).item():.6f} {sol(0.5, derivative=1).item():.6f}"
        '0.606531 -0.606531'
        """
        if self._raw is None or self.prob is None or self._engine is None or self._times is None:
            raise InvalidOptionError(
                "this solution was detached or loaded, and has the saved states only; evaluate it before that."
            )
        if not self._raw.spec.options.dense:
            raise InvalidOptionError(
                "this solution has no dense output; solve with dense=True to evaluate it anywhere."
            )
        if derivative and self.noise is not None:
            raise InvalidOptionError("a solution with noise has no time derivative; leave out derivative.")
        if derivative < 0:
            raise InvalidOptionError(f"derivative is {derivative}; it counts derivatives and cannot be negative.")
        times = t.cpu() if isinstance(t, Tensor) else torch.from_numpy(np.asarray(t, dtype=float))
        self._check_times(np.atleast_1d(times.detach().numpy()), self.prob.tspan, self._raw.t)
        at = times.reshape(-1).to(torch.float64)
        value = differentiable_evaluate(self._engine, self._raw, self.prob.u0, at, derivative, self._times)
        if times.ndim == 0:
            value = value[0]
        return value.numpy(force=True) if self.prob.numpy_output else value

    def _check_times(self, times: NDArray[Any], tspan: tuple[float, float], saved: list[float]) -> None:
        t0, t1 = tspan
        if times.ndim != 1 or times.size == 0:
            raise InvalidOptionError(f"times must be a number or a list of numbers, not of shape {times.shape}.")
        reached = t1 if self.retcode.success else (saved or [t0])[-1]
        low, high = min(t0, reached), max(t0, reached)
        slack = 1e-7 * max(abs(low), abs(high))
        outside = times[~((times >= low - slack) & (times <= high + slack))]
        if outside.size:
            raise InvalidOptionError(f"t = {outside[0]} is outside of what was solved, [{low}, {high}].")

    def __repr__(self) -> str:
        shape, count, stats = tuple(self.u.shape[1:]), len(self.t), self.stats
        reached = f"{float(self.t[0]):g} to {float(self.t[-1]):g}" if count else "none"
        return "\n".join(
            (
                f"Solution: {self.retcode.name}",
                f"  t: {count} times, {reached}",
                f"  u: {count} states of shape {shape}, {self.u.dtype}",
                f"  {self.alg!r}: {stats.naccept} steps, {stats.nreject} rejected, {stats.nf} evaluations",
                f"  {self.engine} engine, sensealg {self.sensealg!r}",
            )
        )

    def numpy(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """`(t, u)` as arrays on the CPU, detached."""
        if isinstance(self.u, Tensor):
            return self.t.numpy(force=True), self.u.numpy(force=True)
        return self.t, self.u

    def raise_for_status(self) -> "Solution":
        """Return the solution itself if the solve succeeded.

        Raises:
            SolverError: it did not; the message names the return code and a remedy.
        """
        if not self.retcode.success:
            message = f"the solve ended with {self.retcode.name}: {self.retcode.remedy}."
            raise SolverError(message, self.retcode, self)
        return self

    def plot(self, ax: "Axes | None" = None, *, idxs: Sequence[Any] | None = None, **kwargs: Any) -> "Axes":
        """Draw components over time, or two of them against each other. Needs matplotlib.

        Arguments:
            ax: where to draw; `None` for a new figure.
            idxs: which components, by their index in the state, `[0, 2]` or `[(0, 1), (1, 1)]`; `None` for all of them.
                A pair in a tuple, `(0, 1)`, is a phase plane, as in Julia.
            **kwargs: passed to `Axes.plot`.

        Raises:
            InvalidOptionError: there is no such component.
        """
        from matplotlib import pyplot as plt

        if ax is None:
            ax = plt.figure(layout="constrained").add_subplot()
        t, u = self.numpy()
        if self.prob is not None and self._raw is not None and self._raw.spec.options.dense and self.retcode.success:
            t = np.linspace(*self.prob.tspan, max(200, 4 * len(t)))
            with torch.no_grad():
                value = self(t)
            u = value.numpy(force=True) if isinstance(value, Tensor) else value
        indices = list(np.ndindex(u.shape[1:])) if idxs is None else [_as_index(i, u.shape[1:]) for i in idxs]
        columns = [u[(slice(None), *index)] for index in indices]
        if isinstance(idxs, tuple):
            if len(indices) != 2:
                raise InvalidOptionError(f"idxs is {idxs!r}; a tuple of two is a phase plane, a list has any number.")
            ax.plot(*(np.real(column) for column in columns), **kwargs)
            ax.set(xlabel=_name_of(indices[0]), ylabel=_name_of(indices[1]))
            return ax
        for index, column in zip(indices, columns, strict=True):
            name = _name_of(index)
            parts = {name: column}
            if np.iscomplexobj(column):
                parts = {f"Re {name}": np.real(column), f"Im {name}": np.imag(column)}
            for label, values in parts.items():
                (line,) = ax.plot(t, values, **kwargs)
                if "label" not in kwargs:
                    line.set_label(label)
        ax.set_xlabel("t")
        if len(indices) <= 10:
            ax.legend()
        return ax


def _as_index(index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of a component, checked."""
    found = index if isinstance(index, tuple) else (index,)
    inside = len(found) == len(shape) and all(-n <= i < n for i, n in zip(found, shape, strict=True))
    if not inside:
        raise InvalidOptionError(f"idxs names {index!r}, but states have shape {shape}.")
    return found


def _name_of(index: tuple[int, ...]) -> str:
    return f"u[{', '.join(map(str, index))}]" if index else "u"
