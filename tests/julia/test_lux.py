"""Networks of torch in Lux.jl and back. What `to_lux` refuses is in tests/api/test_to_lux.py."""

import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict

import pytest
import torch
from torch import nn

import pydiffeqflux as de

pytestmark = pytest.mark.julia
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def randomized(module):
    """In eval mode, with parameters and statistics that no constructor would draw."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1 if tensor.ndim == 1 else torch.randn_like(tensor))
    return module.eval()


def close(y, expected):
    """Equal but for rounding, in units of the largest value."""
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    return float((y - expected).abs().max()) <= TOLERANCE[y.dtype] * float(expected.abs().max())


def same_bits(a, b):
    assert a.keys() == b.keys()
    return all(x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y) for x, y in ((a[k], b[k]) for k in a))


LAYERS = {
    "linear": (lambda: nn.Linear(3, 4), (5, 3)),
    "linear, one state": (lambda: nn.Linear(3, 4), (3,)),
    "linear, two batch dimensions": (lambda: nn.Linear(3, 4), (2, 5, 3)),
    "linear, square": (lambda: nn.Linear(3, 3, bias=False), (5, 3)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3), (4, 2, 9)),
    "conv1d, same": (lambda: nn.Conv1d(2, 3, 4, padding="same", dilation=3), (4, 2, 11)),
    "conv1d, valid": (lambda: nn.Conv1d(2, 3, 4, padding="valid", bias=False), (4, 2, 11)),
    "conv2d": (lambda: nn.Conv2d(2, 3, (3, 2)), (4, 2, 6, 7)),
    "conv2d, all options": (
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2),
        (2, 4, 9, 10),
    ),
    "conv2d, depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3, bias=False), (2, 3, 6, 5)),
    "conv2d, same": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 2, 7, 6)),
    "batch norm": (lambda: nn.BatchNorm1d(3, eps=1e-2), (5, 3)),
    "batch norm, sequence": (lambda: nn.BatchNorm1d(3), (5, 3, 4)),
    "batch norm, one": (lambda: nn.BatchNorm1d(3, momentum=None), (1, 3)),
    "batch norm, not affine": (lambda: nn.BatchNorm1d(3, affine=False), (5, 3)),
    "layer norm": (lambda: nn.LayerNorm(6, eps=1e-2), (5, 6)),
    "layer norm, two dimensions": (lambda: nn.LayerNorm((3, 4)), (5, 3, 4)),
    "layer norm, not affine": (lambda: nn.LayerNorm(6, elementwise_affine=False), (5, 6)),
    "dropout": (lambda: nn.Dropout(0.5), (5, 3)),
    "dropout, never": (lambda: nn.Dropout(0.0), (5, 3)),
    "flatten": (lambda: nn.Flatten(), (5, 2, 3, 4)),
    "identity": (lambda: nn.Identity(), (5, 3)),
    "nothing": (lambda: nn.Sequential(), (5, 3)),
}
FUNCTIONS = {
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "gelu, tanh": nn.GELU(approximate="tanh"),
    "elu": nn.ELU(),
    "elu, 1.5": nn.ELU(1.5),
    "leaky relu": nn.LeakyReLU(),
    "leaky relu, 0.3": nn.LeakyReLU(0.3),
    "softplus": nn.Softplus(),
    "softplus, all options": nn.Softplus(beta=2.5, threshold=4.0),
    "hardtanh": nn.Hardtanh(),
    "hardtanh, all options": nn.Hardtanh(-0.3, 2.0),
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def everything():
    return nn.Sequential(
        OrderedDict(
            convolutions=nn.Sequential(nn.Conv2d(2, 3, (3, 2), padding=1), nn.SiLU(), nn.Conv2d(3, 4, 2, bias=False)),
            flat=nn.Flatten(),
            head=nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 6)),
        )
    )


@DTYPES
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_layers(name, dtype):
    make, shape = LAYERS[name]
    module = randomized(make().to(dtype))
    lux, x = de.to_lux(module), torch.randn(shape, dtype=dtype)
    assert close(lux(x), module(x).detach())
    assert same_bits(lux.state_dict(), module.state_dict())


@DTYPES
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    module, x = FUNCTIONS[name], torch.linspace(-30, 30, 601, dtype=dtype)
    lux = de.to_lux(module)
    assert close(lux(x), module(x))
    # where the values are small, too
    assert close(lux(x[280:321]), module(x[280:321]))
    assert lux.state_dict() == {}


@DTYPES
def test_a_round_trip_with_a_change_in_julia(dtype):
    juliacall = pytest.importorskip("juliacall")
    module = randomized(everything().to(dtype))
    lux, x = de.to_lux(module), torch.randn(3, 2, 5, 4, dtype=dtype)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    assert close(lux(x), module(x).detach())
    assert same_bits(lux.state_dict(), before)
    assert same_bits(lux.state_dict(lux.flat()), before)
    assert {str(juliacall.Main.eltype(lux.flat()))} == {"Float32" if dtype == torch.float32 else "Float64"}

    # a multiplication by -2 is exact
    changed = juliacall.Main.seval("ps -> -2 .* ps")(lux.flat())
    expected = {
        key: tensor if "running" in key or "num_batches" in key else -2 * tensor for key, tensor in before.items()
    }
    assert same_bits(lux.state_dict(changed), expected)
    assert same_bits(module.state_dict(), before)
    module.load_state_dict(lux.state_dict(changed))
    assert close(lux(x, changed), module(x).detach())


def test_statistics_that_julia_changed():
    juliacall = pytest.importorskip("juliacall")
    module = randomized(nn.Sequential(nn.BatchNorm1d(3)))
    module[0].num_batches_tracked += 7
    lux = de.to_lux(module)
    change = "st -> (layer_1=merge(st.layer_1, (running_mean=4 .* st.layer_1.running_mean,)),)"
    changed = lux.state_dict(st=juliacall.Main.seval(change)(lux.st))
    expected = module.state_dict() | {"0.running_mean": 4 * module[0].running_mean}
    assert same_bits(changed, expected)


def test_julia_has_copies():
    juliacall = pytest.importorskip("juliacall")
    module = randomized(nn.Sequential(nn.Linear(2, 3)))
    weight = module[0].weight.detach().clone()
    lux = de.to_lux(module)
    juliacall.Main.seval("ps -> (ps.layer_1.weight[3, 1] = 17; nothing)")(lux.ps)
    assert torch.equal(module[0].weight, weight)
    weight[2, 0] = 17.0
    assert torch.equal(lux.state_dict()["0.weight"], weight)
    lux.state_dict()["0.weight"].zero_()
    assert torch.equal(lux.state_dict()["0.weight"], weight)


def test_the_module_may_change_afterwards():
    module = randomized(nn.Sequential(nn.Linear(2, 3)))
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    lux = de.to_lux(module)
    module.to(dtype=torch.float64)
    del module[0]
    assert same_bits(lux.state_dict(), before)


def test_values_in_main():
    juliacall = pytest.importorskip("juliacall")
    module = randomized(nn.Sequential(nn.Linear(2, 3), nn.Tanh()).double())
    lux = de.to_lux(module)
    main = juliacall.Main
    main.to_lux_model, main.to_lux_ps, main.to_lux_st = lux.model, lux.ps, lux.st
    result = main.seval("to_lux_model([0.5; -1.5;;], to_lux_ps, to_lux_st)[1]")
    assert close(torch.tensor(result.to_numpy().T), module(torch.tensor([[0.5, -1.5]], dtype=torch.float64)).detach())
    assert main.seval("keys(to_lux_ps) == (:layer_1, :layer_2)")
    assert "Dense(2 => 3)" in repr(lux)


def test_any_thread_may_call():
    module, x, results = randomized(everything().double()), torch.randn(3, 2, 5, 4, dtype=torch.float64), []

    def work():
        lux = de.to_lux(module)
        results.append((lux(x), lux.state_dict()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(close(y, module(x).detach()) and same_bits(state, module.state_dict()) for y, state in results)


def test_nobody_else_waits_for_lux():
    script = """
        import torch
        import pydiffeqflux as de

        de.solve(de.ODEProblem(lambda u, p, t: -u, torch.ones(1), (0.0, 1.0)), de.Tsit5(), engine="julia")
        import juliacall

        def loaded():
            return juliacall.Main.seval('any(id.name == "Lux" for id in keys(Base.loaded_modules))')

        assert not loaded()
        de.to_lux(torch.nn.Tanh())
        assert loaded()
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_wrong_arguments():
    juliacall = pytest.importorskip("juliacall")
    lux = de.to_lux(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))
    with pytest.raises(de.UnsupportedError, match=r"takes torch\.float32 on the CPU, not torch\.float64"):
        lux(torch.ones(4, 2, dtype=torch.float64))
    with pytest.raises(de.GradientError, match=r"pass x.detach\(\)"):
        lux(torch.ones(4, 2, requires_grad=True))
    with pytest.raises(de.JuliaError, match=r"fails for x of the shape \(4, 3\): Dimension") as info:
        lux(torch.ones(4, 3))
    assert info.value.julia_type == "DimensionMismatch"
    with pytest.raises(de.InvalidProblemError, match="must be Julia's named tuples or arrays, not dict"):
        lux.state_dict(dict(lux.state_dict()))
    for code, message in (
        ("(layer_2=1,)", "there is no layer_1.weight"),
        ("(layer_1=(weight=zeros(2, 3), bias=zeros(3)),)", r"layer_1.weight has the size \(2, 3\)"),
        ('(layer_1=(weight="w", bias=zeros(3)),)', "layer_1.weight is a String"),
        ("zeros(9)", "there is no layer_1.weight"),
    ):
        with pytest.raises(de.InvalidProblemError, match=message):
            lux.state_dict(juliacall.Main.seval(code))


@pytest.mark.slow  # Zygote takes most of a minute to compile
def test_neural_ode_of_diffeqflux():
    juliacall = pytest.importorskip("juliacall")
    net = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.LayerNorm(12), nn.Linear(12, 2)).double()
    u0 = torch.randn(5, 2, dtype=torch.float64)
    options = {"abstol": 1e-11, "reltol": 1e-11}
    ours = de.NeuralODE(net, (0.0, 1.5), de.Tsit5(), saveat=[0.5, 1.0, 1.5], engine="julia", **options)(u0).u
    ours.square().sum().backward()

    lux = de.to_lux(net)
    module = juliacall.newmodule("TestNeuralODE")
    module.seval("using DiffEqFlux, OrdinaryDiffEqTsit5, Zygote")
    module.seval("""
        function run(model, ps, st, u0)
            node = NeuralODE(model, (0.0, 1.5), Tsit5(); saveat=[0.5, 1.0, 1.5], abstol=1e-11, reltol=1e-11)
            solution(ps) = Array(node(u0, ps, st)[1])
            return solution(ps), only(Zygote.gradient(ps -> sum(abs2, solution(ps)), ps))
        end""")
    states, gradient = module.run(lux.model, lux.flat(), lux.st, juliacall.convert(juliacall.Base.Array, u0.T.numpy()))
    # (2, 5, 3) in Julia
    theirs = torch.tensor(states.to_numpy()).permute(2, 1, 0)
    assert torch.allclose(theirs, ours, rtol=0, atol=1e-10)
    for name, value in lux.state_dict(gradient).items():
        expected = net.get_parameter(name).grad
        assert torch.allclose(value, expected, rtol=0, atol=1e-6 * float(expected.abs().max())), name
