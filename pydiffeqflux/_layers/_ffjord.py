"""Continuous normalizing flows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .._algorithms import AbstractAlgorithm
from .._eager import eager
from .._errors import InvalidOptionError
from .._noise._path import as_seed
from .._problems import ODEProblem
from ._dynamics import Dynamics
from ._solving_layer import SolvingLayer
from ._tangents import is_written_out, push_forward

Trace = Literal["exact", "hutchinson"]
"""How the trace of the Jacobian is computed."""

Probe = Literal["rademacher", "gaussian"]
"""What the vectors of Hutchinson's estimator are drawn from."""

EXACT_UP_TO = 8
"""The trace of a network of up to so many variables is exact by default."""


@dataclass(frozen=True, eq=False)
class FlowResult:
    """What a flow makes of data.

    Attributes:
        z: where the data go, of their shape.
        log_prob: the logarithm of their density, `(batch,)`, in nats.
        kinetic: the integral of `|f|²` along each way, `(batch,)`; `None` unless it was asked for.
        jacobian: that of the squared Frobenius norm of the Jacobian, by the vectors of the trace; likewise.
    """

    z: Tensor
    log_prob: Tensor
    kinetic: Tensor | None = None
    jacobian: Tensor | None = None


class FFJORD(SolvingLayer):
    r"""A continuous normalizing flow: data x = z(t0) follow z' = model(z, t) to z(t1), which has a simple density.

    \( \log p(x) = \log p(z(t_1)) + \int_{t_0}^{t_1} \operatorname{tr} \frac{∂f}{∂z} dt \). The trace is exact, or
    Hutchinson's estimate \( ε^T \frac{∂f}{∂z} ε \) with one ε for all of a solve, so that what is solved is an ordinary
    equation. For networks of `Linear`, `ConcatSquashLinear` and the usual activations (`Tanh`, `Sigmoid`, `SiLU`,
    `ReLU`, `Softplus`) in `Sequential` or `TimeSequential` the products with the Jacobian are written out, which both
    engines compile or batch; for others they are derivatives that are taken inside of `f`, which is then called as it
    is.

    Arguments:
        model: the network, from `(batch, d)` to the same; it may take the time, a 0-d tensor, as its second argument.
        tspan: `(t0, t1)`.
        alg: the algorithm; `None` as in [`solve`][].
        trace: `"exact"`, at the cost of d products with the Jacobian, or `"hutchinson"`, at that of one. `None` is
            exact for up to 8 variables.
        probe: what ε is drawn from: `"rademacher"` (±1, the smaller variance) or `"gaussian"`.
        regularize: whether `forward` returns the integrals of `|f|²` and of the squared Jacobian, too, as for RNODE.
        basedist: the density at t1, a `torch.distributions.Distribution` of one vector; `None` for a standard normal
            one.
        **kwargs: options of [`solve`][]; by default `abstol=1e-6` and `reltol=1e-5`.

    Raises:
        InvalidProblemError: `model` is not a module, or cannot be called in this way.
        InvalidOptionError: `trace` or `probe` is something else, or the data have another shape.

    Engines: both. References: Chen et al. 2018, *Neural ordinary differential equations*, section 4; Grathwohl et al.
    2018, *FFJORD*; Finlay et al. 2020, *How to train your neural ODE* (RNODE); DiffEqFlux.jl's `FFJORD`.

    >>> import torch
    >>> flow = FFJORD(torch.nn.Linear(2, 2, bias=False).double())
    >>> x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    >>> a = flow.model.weight.detach()  # a linear flow is the exponential of its matrix
    >>> exact = torch.distributions.Normal(0, 1).log_prob(x @ torch.matrix_exp(a).T).sum() + a.trace()
    >>> bool((flow.log_prob(x) - exact).abs() < 1e-4)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        tspan: Sequence[float] = (0.0, 1.0),
        alg: AbstractAlgorithm | None = None,
        *,
        trace: Trace | None = None,
        probe: Probe = "rademacher",
        regularize: bool = False,
        basedist: torch.distributions.Distribution | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tspan, alg, {"abstol": 1e-6, "reltol": 1e-5} | kwargs)
        if trace is not None and trace not in get_args(Trace):
            raise InvalidOptionError(f"trace must be 'exact' or 'hutchinson', not {trace!r}.")
        if probe not in get_args(Probe):
            raise InvalidOptionError(f"probe must be 'rademacher' or 'gaussian', not {probe!r}.")
        # in a tuple it is not registered as a submodule: the parameters belong to `model` alone
        self._dynamics = (Dynamics(model, None),)
        self.model = model
        self.trace, self.probe, self.regularize, self.basedist = trace, probe, regularize, basedist

    @eager
    def forward(self, x: Tensor, *, seed: int | None = None, **kwargs: Any) -> FlowResult:
        """Where data `(batch, d)` go, and the logarithm of their density.

        Arguments:
            x: the data.
            seed: a non-negative whole number that ε is drawn from; `None` draws it from torch's generator.
            **kwargs: override the options given at construction.
        """
        return self._follow(x, seed, kwargs)

    def log_prob(self, x: Tensor, *, seed: int | None = None, **kwargs: Any) -> Tensor:
        """The logarithm of the density of data, `(batch,)`, in nats."""
        return self(x, seed=seed, **kwargs).log_prob

    @eager
    def inverse(self, z: Tensor, **kwargs: Any) -> Tensor:
        """The data that go to `z`, by the equation backwards in time."""
        t0, t1 = self.tspan
        return self._solve(ODEProblem(self._current(), z, (t1, t0)), {"saveat": [t0]} | kwargs).u[-1]

    def sample(self, count: int, dim: int, *, seed: int | None = None, **kwargs: Any) -> Tensor:
        """Draw data, `(count, dim)`, without a gradient.

        Arguments:
            count: how many.
            dim: the number of variables.
            seed: as for `forward`; the base density draws from torch's generator where it is not the normal one.
            **kwargs: as for `forward`.
        """
        with torch.no_grad():
            return self.rsample(count, dim, seed=seed, **kwargs)

    def rsample(self, count: int, dim: int, *, seed: int | None = None, **kwargs: Any) -> Tensor:
        """As `sample`, with a gradient."""
        like = next(iter(self.model.parameters()), torch.empty(0))
        if self.basedist is not None:
            z = self.basedist.sample(torch.Size([count])).to(like)
        else:
            generator = _generator(None if seed is None else as_seed(seed), like)
            z = torch.randn(count, dim, generator=generator, dtype=like.dtype, device=like.device)
        return self.inverse(z, **kwargs)

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return f"tspan={self.tspan}, alg={self.alg}, trace={self.trace!r}, regularize={self.regularize}"

    # ---- the equation of data, density and regularisers

    def _current(self) -> Dynamics:
        (dynamics,) = self._dynamics = (self._dynamics[0].following(self.model),)
        return dynamics

    def _follow(self, x: Tensor, seed: int | None, kwargs: dict[str, Any]) -> FlowResult:
        if x.ndim != 2:
            raise InvalidOptionError(
                f"a flow takes data of shape (batch, d), not {tuple(x.shape)}; flatten them, and let the model take "
                "them apart."
            )
        d = x.shape[1]
        vectors = self._vectors(x, None if seed is None else as_seed(seed))
        zeros = x.new_zeros(len(x), 3 if self.regularize else 1)
        augmented = _Augmented(self._current(), d, regularize=self.regularize)
        prob = ODEProblem(augmented, torch.cat([x, zeros], dim=1), self.tspan, vectors)
        u = self._solve(prob, {"saveat": [self.tspan[1]]} | kwargs).u[-1]
        z, change = u[:, :d], u[:, d]
        regularisers = (u[:, d + 1], u[:, d + 2]) if self.regularize else (None, None)
        return FlowResult(z, self._base_log_prob(z) + change, *regularisers)

    def _vectors(self, x: Tensor, seed: int | None) -> Tensor:
        """What is multiplied with the Jacobian: unit vectors `(d, d)`, or one ε for each row, `(batch, 1, d)`."""
        d = x.shape[1]
        if self.trace == "exact" or (self.trace is None and d <= EXACT_UP_TO):
            return torch.eye(d, dtype=x.dtype, device=x.device)
        generator = _generator(seed, x)
        if self.probe == "gaussian":
            return torch.randn(len(x), 1, d, generator=generator, dtype=x.dtype, device=x.device)
        signs = torch.randint(0, 2, (len(x), 1, d), generator=generator, device=x.device)
        return 2.0 * signs.to(x.dtype) - 1.0

    def _base_log_prob(self, z: Tensor) -> Tensor:
        if self.basedist is not None:
            values = self.basedist.log_prob(z)
            return values if values.ndim == 1 else values.sum(-1)
        return -0.5 * (z.square().sum(-1) + z.shape[1] * math.log(2.0 * math.pi))


def _generator(seed: int | None, like: Tensor) -> torch.Generator | None:
    return None if seed is None else torch.Generator(like.device).manual_seed(seed)


class _Augmented(nn.Module):
    """The derivative of data, of the logarithm of their density, and of the regularisers.

    Arguments:
        dynamics: that of the data.
        d: the number of variables.
        regularize: whether there are regularisers.
    """

    def __init__(self, dynamics: Dynamics, d: int, *, regularize: bool) -> None:
        super().__init__()
        self.dynamics, self.d, self.regularize = dynamics, d, regularize

    def forward(self, u: Tensor, p: Tensor, t: Tensor) -> Tensor:
        z = u[:, : self.d]
        if is_written_out(self.dynamics.model):
            f, products = push_forward(self.dynamics.model, z, p, t)
        else:
            vectors = p.expand(len(z), p.shape[-2], self.d)
            f, products = _by_autograd(lambda x: self.dynamics(x, None, t), z, vectors)
        products = products.expand(len(z), p.shape[-2], self.d)  # those of a linear network are the same everywhere
        parts = [f, (p * products).sum((-2, -1)).unsqueeze(-1)]
        if self.regularize:
            parts += [f.square().sum(-1, keepdim=True), products.square().sum((-2, -1)).unsqueeze(-1)]
        return torch.cat(parts, dim=-1)


def _by_autograd(call: Callable[[Tensor], Tensor], x: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """A function and the products of its Jacobian with vectors `(batch, k, d)`, by two backward passes a vector."""
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        z = x if x.requires_grad else x.detach().requires_grad_()
        f = call(z)
        dummy = torch.zeros_like(f, requires_grad=True)
        (pulled,) = torch.autograd.grad(f, z, dummy, create_graph=True)
        products = [
            torch.autograd.grad(pulled, dummy, v, create_graph=True)[0] if pulled.requires_grad else torch.zeros_like(f)
            for v in vectors.unbind(-2)
        ]
        result = f, torch.stack(products, dim=-2)
    return result if wanted else (result[0].detach(), result[1].detach())
