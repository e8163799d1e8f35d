"""The problems in torch: what pydiffeqflux, torchdiffeq, torchode and SciPy with a torch f all solve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _problems import Array, Backend, Network, Problem
from _rows import Outcome, Run
from torch import Tensor, nn

TORCH = Backend(torch.stack, torch.roll)

ACTIVATIONS: dict[str, type[nn.Module]] = {"softplus": nn.Softplus, "tanh": nn.Tanh}


@dataclass(frozen=True, eq=False)
class TorchSystem:
    """A problem in torch.

    Attributes:
        f: the right-hand side of `(u, p)`.
        u0: initial state.
        p: constants: numbers, or a tensor that requires a gradient; `None` for a network.
        module: the network, if it is one.
        parameters: what gradients are taken of.
    """

    f: Callable[[Tensor, Any], Tensor]
    u0: Tensor
    p: Any
    module: nn.Module | None
    parameters: tuple[Tensor, ...]


class Cubed(nn.Module):
    """A network on u³."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, u: Tensor) -> Tensor:
        return self.net(u**3)


def torch_system(problem: Problem, dtype: str, *, gradient: bool) -> TorchSystem:
    """The problem, with constants to differentiate if `gradient`, else as numbers."""
    real = getattr(torch, dtype)
    u0 = torch.tensor(problem.u0, dtype=real)
    system = problem.system
    if isinstance(system, Network):
        module = _module(system).to(real)
        return TorchSystem(lambda u, p: module(u), u0, None, module, tuple(module.parameters()))
    if gradient:
        p = torch.tensor(problem.p, dtype=real, requires_grad=True)
        return TorchSystem(lambda u, p: system(TORCH, u, p), u0, p, None, (p,))
    # numbers where the equations have numbers, a tensor where they have arrays
    constants = torch.tensor(problem.p, dtype=real) if problem.u0.ndim > 1 else problem.p.tolist()
    return TorchSystem(lambda u, p: system(TORCH, u, p), u0, constants, None, ())


def flat(gradients: Sequence[Tensor]) -> Array:
    """Gradients as one vector."""
    return np.concatenate([g.detach().double().numpy().reshape(-1) for g in gradients])


def forward_run(solve: Callable[[], Any], read: Callable[[Any], Outcome]) -> Run:
    """One solve without gradients."""
    return Run(torch.no_grad()(solve), read)


def gradient_run(
    problem: Problem,
    parameters: Sequence[Tensor],
    solve: Callable[[], Any],
    states: Callable[[Any], Tensor],
    read: Callable[[Any], Outcome],
) -> Run:
    """One solve, its loss, which `states` are taken for, and the gradient."""

    def call() -> tuple[Any, Any]:
        raw = solve()
        return raw, torch.autograd.grad(problem.loss(states(raw)), parameters)

    def read_both(raw: tuple[Any, Any]) -> Outcome:
        outcome = read(raw[0])
        outcome.gradient = flat(raw[1])
        return outcome

    return Run(call, read_both)


def adam_step(predict: Callable[[], Tensor], problem: Problem, system: TorchSystem, rate: float) -> Callable[[], float]:
    """A function that makes one step of Adam and returns the loss before it."""
    optimiser = torch.optim.Adam(system.parameters, lr=rate)

    def step() -> float:
        optimiser.zero_grad()
        loss = problem.loss(predict())
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def _module(network: Network) -> nn.Module:
    parts: list[nn.Module] = []
    for (weight, bias), activation in zip(network.layers, network.activations, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        parts.append(linear)
        if activation:
            parts.append(ACTIVATIONS[activation]())
    net = nn.Sequential(*parts)
    return Cubed(net) if network.cubed else net
