"""Products of the Jacobian of a network with vectors, as plain operations of torch.

Written out layer by layer they can be traced, compiled to Julia, mapped and differentiated like anything else, which
derivatives that are taken inside of a function cannot.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class ConcatSquashLinear(nn.Module):
    r"""The layer of FFJORD that sees the time: \( (W x + b) \, σ(w t + c) + v t \).

    Arguments:
        in_features: the size of the last axis of the input.
        out_features: that of the output.

    Source: Grathwohl et al. 2018, *FFJORD*, code of the paper.

    >>> import torch
    >>> ConcatSquashLinear(2, 3)(torch.zeros(5, 2), torch.tensor(0.5)).shape
    torch.Size([5, 3])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.gate = nn.Linear(1, out_features)
        self.shift = nn.Linear(1, out_features, bias=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The layer at a state and a time."""
        gate, shift = self.at(t)
        return self.linear(x) * gate + shift

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the time makes of it: the factor of the linear layer, and what is added."""
        time = t.reshape(1)
        return torch.sigmoid(self.gate(time)), self.shift(time)


class TimeSequential(nn.Sequential):
    """Layers one after the other, as `nn.Sequential`; those that are [`ConcatSquashLinear`][] are given the time.

    >>> import torch
    >>> net = TimeSequential(ConcatSquashLinear(2, 16), torch.nn.Tanh(), ConcatSquashLinear(16, 2))
    >>> net(torch.zeros(5, 2), torch.tensor(0.5)).shape
    torch.Size([5, 2])
    """

    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        """The output of the last layer."""
        for layer in self:
            x = layer(x, t) if isinstance(layer, ConcatSquashLinear | TimeSequential) else layer(x)
        return x


def _sigmoid_slope(x: Tensor, y: Tensor) -> Tensor:
    return y * (1.0 - y)


def _silu_slope(x: Tensor, y: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s + y * (1.0 - s)


_SLOPES: dict[type[nn.Module], Callable[[Tensor, Tensor], Tensor]] = {
    nn.Tanh: lambda x, y: 1.0 - y * y,
    nn.Sigmoid: _sigmoid_slope,
    nn.SiLU: _silu_slope,
    nn.ReLU: lambda x, y: (x > 0.0).to(x.dtype),
    nn.Softplus: lambda x, y: torch.sigmoid(x),
    nn.Identity: lambda x, y: torch.ones_like(x),
}
"""The derivative of an activation from its input and its output."""


def is_written_out(model: nn.Module) -> bool:
    """Whether products with the Jacobian of a network can be written out."""
    kind = type(model)
    if kind in (nn.Sequential, TimeSequential):
        return all(map(is_written_out, model.children()))
    if isinstance(model, nn.Softplus):
        return model.beta == 1
    return kind in _SLOPES or kind in (nn.Linear, ConcatSquashLinear)


def push_forward(model: nn.Module, x: Tensor, dx: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The output of a network, and the products of its Jacobian with vectors.

    Arguments:
        model: a network for which `is_written_out` holds.
        x: the input, `(*batch, d)`.
        dx: the vectors, `(*batch, k, d)`, or `(k, d)` for the same ones everywhere.
        t: the time.
    """
    if isinstance(model, nn.Sequential):
        for layer in model:
            x, dx = push_forward(layer, x, dx, t)
        return x, dx
    if isinstance(model, nn.Linear):
        return model(x), linear(dx, model.weight)
    if isinstance(model, ConcatSquashLinear):
        gate, shift = model.at(t)
        return model.linear(x) * gate + shift, linear(dx, model.linear.weight) * gate
    y = model(x)
    return y, _SLOPES[type(model)](x, y).unsqueeze(-2) * dx
