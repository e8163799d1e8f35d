"""What `to_lux` refuses, which it does before it starts Julia."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

import pydiffeqflux as de


@pytest.fixture(autouse=True)
def _without_julia(monkeypatch):
    def start():
        raise AssertionError("Julia was started")

    monkeypatch.setattr("pydiffeqflux._engines.julia._networks.start", start)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Reversed(nn.Sequential):
    def forward(self, x):
        for layer in reversed(list(self)):
            x = layer(x)
        return x


def with_hook(module):
    module.register_forward_hook(lambda module, args, output: 2 * output)
    return module


def with_shared_weight():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    return net


def twice():
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Tanh(), layer)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Bilinear(2, 2, 2), r"cannot take Bilinear, for it is none of the layers .*Conv2d.*write it in Julia"),
        (nn.Sequential(nn.Tanh(), nn.Tanh(), nn.Sequential(nn.Tanh(), nn.Bilinear(2, 2, 2))), "2.1: Bilinear"),
        (nn.Sequential(OrderedDict(encoder=nn.GRU(2, 2))), "encoder: GRU"),
        (nn.Sequential(Doubled(2, 2)), "0: Doubled"),
        (Reversed(nn.Tanh()), "cannot take Reversed"),
        (nn.ReLU6(), "cannot take ReLU6"),
        (nn.Sequential(with_hook(nn.Linear(2, 2))), "0: Linear, for Lux would not run its hooks; remove"),
        (nn.Sequential(nn.Dropout(0.5)), r"0: Dropout, for it is in training mode.*call eval\(\)"),
        (nn.Sequential(nn.BatchNorm1d(2)), r"0: BatchNorm1d, for it is in training mode.*call eval\(\)"),
        (nn.BatchNorm1d(2, track_running_stats=False).eval(), "BatchNorm1d, for without running statistics"),
        (nn.LayerNorm(2, bias=False), "LayerNorm, .* use bias=True"),
        (nn.Flatten(0), r"Flatten, .* use Flatten\(\)"),
        (nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), "Conv1d, .* use 'zeros'"),
        (nn.Conv3d(2, 2, 3), "Conv3d"),
        (twice(), "0.weight and 2.weight are one tensor"),
        (with_shared_weight(), "0.weight and 1.weight are one tensor"),
        (nn.Linear(2, 2, dtype=torch.float16), r"weight is torch.float16\); call float\(\)"),
        (nn.Linear(2, 2, dtype=torch.complex128), "weight is torch.complex128"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()),
            "0.weight is torch.float32, 1",
        ),
        (nn.Sequential(nn.Tanh(), nn.Linear(2, 2, device="meta")), r"1.weight is on meta; call cpu\(\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_refusals(module, message):
    with pytest.raises(de.UnsupportedError, match=message):
        de.to_lux(module)


def test_weight_normalization_is_refused():
    with pytest.raises(de.UnsupportedError, match="ParametrizedLinear"):
        de.to_lux(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))


def test_what_is_no_module():
    with pytest.raises(de.InvalidProblemError, match=r"takes an nn\.Module, not function"):
        de.to_lux(lambda x: x)
