"""Stochastic differential equations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from .._algorithms import EquationKind
from .._errors import InvalidProblemError
from .._functions import RightHandSide, prepare_right_hand_side
from .._functions._nesting import as_parameters
from .._noise import BrownianPath, NoiseKind
from .._noise._path import as_seed
from .._options import SolveOptions
from ._base import AbstractProblem
from ._checks import as_state, as_tspan, check_callable, differentiable_times


@dataclass(frozen=True, eq=False)
class SDEProblem(AbstractProblem):
    r"""The initial value problem \( du = f(u, p, t)\,dt + g(u, p, t)\,dW,\ u(t_0) = u_0 \).

    Whether the noise term is an integral of Itô's or Stratonovich's is said by the algorithm, as in Julia: `EM`,
    `SOSRI` and most others solve for Itô's, `EulerHeun`, `ReversibleHeun` and `RKMil("stratonovich")` for the other.

    Arguments:
        f: the drift `f(u, p, t)`, as for an [`ODEProblem`][].
        g: the diffusion `g(u, p, t)`, likewise. If it returns the shape of `u`, every element of `u` has a motion of
            its own (diagonal noise). If it returns `(*u.shape, m)`, m motions enter by a matrix (general noise; scalar
            noise where m is 1), and every row of a batch `(*batch, d)` has its own m. Noise is additive where `g` does
            not depend on `u`.
        u0: initial state, real; as for an `ODEProblem`.
        tspan: `(t0, t1)`. Only with a method for Stratonovich's integral may `t1` be the earlier one.
        p: parameters, shared by `f` and `g`.
        noise: the path to take; `None` draws one for every solve.
        seed: a non-negative whole number that the path is drawn from; `None` draws that from torch's generator. The
            option of [`solve`][] comes before it.

    Raises:
        InvalidProblemError: an argument cannot be used; the message says which and why.
        InvalidOptionError: the seed cannot be used.

    Engines: both. Source: SciMLBase's `SDEProblem`.

    >>> import torch
    >>> from pydiffeqflux import SOSRI, solve
    >>> u0 = torch.ones(1000, dtype=torch.float64)
    >>> prob = SDEProblem(lambda u, p, t: 0.5 * u, lambda u, p, t: 0.3 * u, u0, (0.0, 1.0), seed=1)
    >>> sol = solve(prob, SOSRI(), dt=0.05, adaptive=False, saveat=[1.0])
    >>> abs(sol.u[-1].mean().item() - 1.6487) < 0.05  # E u(1) = exp(0.5), standard deviation 0.016
    True
    """

    f: Callable[[Tensor, Any, Tensor], Tensor]
    g: Callable[[Tensor, Any, Tensor], Tensor]
    noise: BrownianPath | None
    seed: int | None
    arguments: ClassVar[tuple[str, ...]] = ("f", "g", "u0", "tspan", "p", "noise", "seed")
    kind: ClassVar[EquationKind] = EquationKind.STOCHASTIC

    def __init__(
        self,
        f: Callable[[Any, Any, Any], Any],
        g: Callable[[Any, Any, Any], Any],
        u0: Tensor | NDArray[Any] | float | Sequence[Any],
        tspan: Sequence[float],
        p: Any = None,
        *,
        noise: BrownianPath | None = None,
        seed: int | None = None,
    ) -> None:
        check_callable(f)
        check_callable(g, "g")
        state = as_state(u0)
        if state.is_complex():
            raise InvalidProblemError("an SDEProblem needs a real state; split u0 into its real and imaginary part.")
        if noise is not None and not isinstance(noise, BrownianPath):
            raise InvalidProblemError(f"noise must be a BrownianPath, not {type(noise).__name__}.")
        if noise is not None and seed is not None:
            raise InvalidProblemError("noise and seed were both given; a path has its own seed, leave out one of them.")
        span = as_tspan(tspan)
        if any(t is not None for t in differentiable_times(tspan)):
            raise InvalidProblemError("the times of an SDEProblem have no gradient; detach tspan.")
        set_ = object.__setattr__
        set_(self, "f", f)
        set_(self, "g", g)
        set_(self, "u0", state)
        set_(self, "tspan", span)
        set_(self, "tspan_tensors", (None, None))
        set_(self, "p", as_parameters(p, dtype=state.dtype, device=state.device))
        set_(self, "noise", noise)
        set_(self, "seed", None if seed is None else as_seed(seed))
        set_(self, "numpy_output", not isinstance(u0, Tensor))

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"f": self.f, "g": self.g}

    @property
    def needs_mass_matrix(self) -> bool:
        return False

    def prepare(self, *, traced: bool = False) -> RightHandSide:
        return prepare_right_hand_side(self.f, self.u0, self.tspan, self.p, diffusion=self.g, traced=traced)

    def path(self, rhs: RightHandSide, seed: int | None, dt: float | None, options: SolveOptions) -> BrownianPath:
        assert rhs.diffusion is not None
        layout, noise = rhs.diffusion.layout, self.noise
        if noise is None:
            chosen = self.seed if seed is None else seed
            forwards = dt is not None and self.tspan[1] > self.tspan[0]
            return BrownianPath(
                self.tspan,
                layout.shape,
                seed=chosen,
                dt=dt,
                restarts=options.stops_after(self.tspan[0], saved=True) if forwards else (),
                dtype=rhs.dtype,
                device=rhs.device,
            )
        if seed is not None:
            raise InvalidProblemError("the problem has a noise of its own, so seed has no meaning; leave it out.")
        if noise.shape != layout.shape:
            what = "diagonal noise" if layout.kind is NoiseKind.DIAGONAL else f"noise of {layout.shape[-1]} motions"
            raise InvalidProblemError(
                f"noise has shape {tuple(noise.shape)}, but g returns {what}, for which it must be "
                f"{tuple(layout.shape)}."
            )
        if noise.dtype != rhs.dtype or noise.device != rhs.device:
            raise InvalidProblemError(
                f"noise is {noise.dtype} on {noise.device}, but u0 is {rhs.dtype} on {rhs.device}; make it so."
            )
        return noise
