"""W6: a continuous normalizing flow in two dimensions: the density of a batch and its gradient.

The network is FFJORD's, 2-64-64-2 with layers that see the time, in float32 at tolerances of 1e-5 by Dormand and
Prince's method. torchdiffeq takes the trace by autograd within f, as the code of the paper does.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from _references import References
from _rows import COMPILED, EMBEDDED, JULIA, TORCH, Case, Outcome, Reference, Row, Run
from torch import Tensor, nn

import pydiffeqflux as de

TITLE = "Continuous normalizing flows"

TORCHDIFFEQ = "torchdiffeq"
LIBRARIES = (EMBEDDED, JULIA, TORCHDIFFEQ)
KINDS = {EMBEDDED: TORCH, JULIA: COMPILED, TORCHDIFFEQ: TORCH}
ENGINES = {EMBEDDED: "embedded", JULIA: "julia"}
ADJOINTS = {
    EMBEDDED: ("ReverseDiffAdjoint", "GaussAdjoint"),
    JULIA: ("ReverseDiffAdjoint", "GaussAdjoint"),
    TORCHDIFFEQ: ("odeint", "odeint_adjoint"),
}
BATCH, WIDTH, TOL = 256, 64, 1e-5


def cases(library: str, references: References, *, short: bool) -> Iterator[Case]:
    """The cases of one library."""
    for trace in ("exact",) if short else ("exact", "hutchinson"):
        group = f"FFJORD, batch {BATCH}, {trace} trace, value and gradient"
        for adjoint in ADJOINTS[library]:
            row = Row("w6", group, library, "DP5", adjoint, rhs=KINDS[library], dtype="float32", rtol=TOL, atol=TOL)
            yield Case(row, partial(_MAKE[library], library, trace, adjoint), Reference())


def _network() -> nn.Module:
    torch.manual_seed(0)
    return de.TimeSequential(
        de.ConcatSquashLinear(2, WIDTH),
        nn.Tanh(),
        de.ConcatSquashLinear(WIDTH, WIDTH),
        nn.Tanh(),
        de.ConcatSquashLinear(WIDTH, 2),
    )


def _data() -> Tensor:
    return torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(1))


def _gradient_of(network: nn.Module, log_density: Callable[[], Tensor]) -> Run:
    def call() -> Tensor:
        for q in network.parameters():
            q.grad = None
        value = log_density().mean()
        value.backward()
        return value

    def read(value: Tensor) -> Outcome:
        return Outcome(us=value.detach().double().reshape(1).numpy())

    return Run(call, read)


def _ours(library: str, trace: Any, adjoint: str) -> Run:
    network, x = _network(), _data()
    sensealg = getattr(de, adjoint)()
    options: dict[str, Any] = {"engine": ENGINES[library], "abstol": TOL, "reltol": TOL, "sensealg": sensealg}
    flow = de.FFJORD(network, alg=de.DP5(), trace=trace, **options)
    return _gradient_of(network, lambda: flow.log_prob(x))


class _WithTrace(nn.Module):
    """The derivative of data and of the logarithm of their density, for torchdiffeq."""

    def __init__(self, network: nn.Module, trace: str) -> None:
        super().__init__()
        self.network, self.trace = network, trace
        self.probe = torch.zeros(0)

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """At a time and a state."""
        with torch.enable_grad():
            z = states[0] if states[0].requires_grad else states[0].detach().requires_grad_()
            f = self.network(z, t)
            if self.trace == "exact":
                rows = [torch.autograd.grad(f[:, i].sum(), z, create_graph=True)[0][:, i] for i in range(2)]
                return f, rows[0] + rows[1]
            return f, (torch.autograd.grad(f, z, self.probe, create_graph=True)[0] * self.probe).sum(1)


def _torchdiffeq(library: str, trace: str, adjoint: str) -> Run:
    torchdiffeq: Any = importlib.import_module("torchdiffeq")
    network, x = _network(), _data()
    dynamics, times = _WithTrace(network, trace), torch.tensor([0.0, 1.0])
    solve: Any = getattr(torchdiffeq, adjoint)

    def log_density() -> Tensor:
        dynamics.probe = 2.0 * torch.randint(0, 2, x.shape).float() - 1.0
        z, change = solve(dynamics, (x, x.new_zeros(BATCH)), times, rtol=TOL, atol=TOL, method="dopri5")
        return -0.5 * z[-1].square().sum(1) - math.log(2.0 * math.pi) + change[-1]

    return _gradient_of(network, log_density)


_MAKE: dict[str, Callable[..., Run]] = {EMBEDDED: _ours, JULIA: _ours, TORCHDIFFEQ: _torchdiffeq}
