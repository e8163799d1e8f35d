"""Networks of torch as networks of Lux.jl, for DiffEqFlux.jl and whatever else is written in Julia."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ._engines.julia._arguments import dims
from ._engines.julia._networks import Chain, Layer, Leaf, apply, build, flatten, is_julia, leaves, read
from ._errors import GradientError, InvalidProblemError, UnsupportedError

_WRITE_IT = "write it in Julia, or leave it out and put it around the Lux model there"


@dataclass(frozen=True, eq=False)
class LuxNetwork:
    """A network in Julia, as [`to_lux`][] makes it.

    The three values are juliacall's, and `juliacall.Main` takes them: `Main.model = lux.model`, then
    `Main.seval("model(x, ps, st)")`. Julia's arrays have the *reversed* shapes of torch's: a batch `(B, 3)` is `(3, B)`
    there. Parameters and state are copies, which torch does not see.

    The methods here may be called by any thread. What is done through juliacall is not held back while another thread
    solves, and may wait for it forever if Julia calls Python back in that solve: keep to one thread there.

    Attributes:
        model: the layer of Lux, a `Lux.Chain` for a `Sequential`. The children of a chain are `layer_1`, `layer_2`, ...
            as always in Lux, or have the names that they were given in an `OrderedDict`.
        ps: its parameters, a named tuple.
        st: its state, a named tuple, in test mode: dropout does nothing, and statistics stay as they are.
    """

    model: Any
    ps: Any = field(repr=False)
    st: Any = field(repr=False)
    _leaves: tuple[Leaf, ...] = field(repr=False)
    _kept: dict[str, Tensor] = field(repr=False)
    _dtype: torch.dtype | None = field(repr=False)

    def flat(self) -> Any:
        """The parameters as a `ComponentVector`: one flat array with names, as Julia's adjoints and optimizers want.

        Raises:
            UnsupportedError: ComponentArrays.jl is not in the Julia project.
        """
        return flatten(self.ps)

    def __call__(self, x: Tensor, ps: Any = None, st: Any = None) -> Tensor:
        """What the network makes of `x` in Julia, to compare with torch; it is not differentiated.

        Arguments:
            x: a tensor on the CPU of the dtype of the parameters, of a shape that the torch network takes. The batch is
                not left out before convolutions and normalizations, and a LayerNorm takes one such dimension only.
            ps: other parameters than those of this object.
            st: another state.

        Raises:
            UnsupportedError: `x` is not on the CPU, or of another dtype.
            GradientError: `x` requires a gradient.
            JuliaError: Julia raised an exception, for instance because the shape of `x` does not fit.
        """
        kinds = (torch.float32, torch.float64) if self._dtype is None else (self._dtype,)
        if x.device.type != "cpu" or x.dtype not in kinds:
            raise UnsupportedError(
                f"the Lux network takes {' or '.join(map(str, kinds))} on the CPU, not {x.dtype} on {x.device}; use "
                "x.to(...)."
            )
        if x.requires_grad and torch.is_grad_enabled():
            raise GradientError(
                "torch cannot differentiate what a Lux network computes in Julia; pass x.detach(), or use Zygote there."
            )
        return apply(self.model, self._checked(ps, self.ps), self._checked(st, self.st), x)

    def state_dict(self, ps: Any = None, st: Any = None) -> dict[str, Tensor]:
        """The parameters as `module.load_state_dict` takes them, in new tensors of the dtype of the module.

        Arguments:
            ps: parameters of Julia, a named tuple or `ComponentVector` of the structure of `self.ps`; `self.ps` by
                default. What has not been changed comes back bit by bit.
            st: a state of Julia, for the statistics of BatchNorm1d; `self.st` by default. The number of batches that
                torch counts is the one of the conversion.

        Raises:
            InvalidProblemError: they are not those of this network.
        """
        trees = {False: self._checked(ps, self.ps), True: self._checked(st, self.st)}
        found = {leaf.key: read(trees[leaf.in_state], leaf) for leaf in self._leaves}
        return found | {key: tensor.clone() for key, tensor in self._kept.items()}

    @staticmethod
    def _checked(given: Any, own: Any) -> Any:
        if given is None:
            return own
        if not is_julia(given):
            raise InvalidProblemError(
                f"parameters and state must be Julia's named tuples or arrays, not {type(given).__name__}."
            )
        return given


def to_lux(module: nn.Module) -> LuxNetwork:
    """A network of torch as a network of Lux.jl with the same weights.

    Lux's networks are what the layers of DiffEqFlux.jl take, `NeuralODE(model, tspan, Tsit5())` for instance. When they
    have been trained in Julia, `module.load_state_dict(lux.state_dict(ps))` brings the parameters back.

    Arguments:
        module: an `nn.Sequential`, which may hold others, or one layer, of float32 or float64 on the CPU. Layers:
            Linear, Conv1d and Conv2d (padded with zeros), Tanh, ReLU, Sigmoid, SiLU, GELU, ELU, LeakyReLU, Softplus,
            SELU, Hardtanh, Identity, Flatten(), LayerNorm (with its bias), and, in eval mode, Dropout and BatchNorm1d
            with its running statistics. Julia computes in the same precision, and agrees but for rounding.

    Returns:
        The model, its parameters and its state in Julia, of the dtype of the module.

    Shapes:
        A Linear's weight is `(out, in)` on both sides. Other tensors have the reversed shape in Julia: a kernel
        `(out, in, height, width)` is `(width, height, in, out)`, and weight and bias of a LayerNorm get a last
        dimension of one.

    Raises:
        InvalidProblemError: `module` is not an `nn.Module`.
        UnsupportedError: `module` has a layer that is not listed above, which the message names, or tensors of another
            kind; or Lux is not in the Julia project.
        EngineUnavailableError: Julia is not set up here.

    Engines: julia; it starts at the first call. Source: Lux.jl, whose layers they become.

    >>> net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    >>> lux = to_lux(net)  # doctest: +SKIP
    >>> net.load_state_dict(lux.state_dict())  # doctest: +SKIP
    """
    if not isinstance(module, nn.Module):
        raise InvalidProblemError(f"to_lux takes an nn.Module, not {type(module).__name__}.")
    network = _describe(module, "")
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    dtype = _check_tensors(tensors)
    places = tuple(leaves(network, tensors))
    kept = {key: tensor.clone() for key, tensor in tensors.items() if key not in {leaf.key for leaf in places}}
    return LuxNetwork(*build(network, tensors), places, kept, dtype)


# ---- what there is


def _describe(module: nn.Module, path: str) -> Layer | Chain:
    """The network without its numbers; refuses what Lux cannot do in the same way."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise _refusal(path, module, "Lux would not run its hooks; remove them")
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        # not named_children, which leaves out a module that comes a second time
        children = {name: child for name, child in module._modules.items() if child is not None}
        layers = {name: _describe(child, f"{path}.{name}" if path else name) for name, child in children.items()}
        return Chain(_names(list(layers)), layers) if layers else Layer("Identity")
    describe = _LAYERS.get(type(module))
    if describe is None:
        known = ", ".join(sorted(layer.__name__ for layer in _LAYERS))
        raise _refusal(path, module, f"it is none of the layers that Lux has, too (Sequential, {known}); {_WRITE_IT}")
    return describe(module, path)


def _names(children: list[str]) -> dict[str, str]:
    """Those that were given, else, for the numbers of a plain Sequential, the ones that Lux gives."""
    if all(name.isidentifier() for name in children):
        return {name: name for name in children}
    return {name: f"layer_{number}" for number, name in enumerate(children, 1)}


def _linear(module: nn.Linear, path: str) -> Layer:
    options = {"inputs": module.in_features, "outputs": module.out_features, "bias": module.bias is not None}
    return Layer("Linear", options, _weight_and_bias(module), transposed=("weight",))


def _convolution(module: nn.Conv1d | nn.Conv2d, path: str) -> Layer:
    if module.padding_mode != "zeros":
        raise _refusal(path, module, f"Lux pads with zeros, not padding_mode={module.padding_mode!r}; use 'zeros'")
    options = {
        "inputs": module.in_channels,
        "outputs": module.out_channels,
        "kernel": dims(module.kernel_size),
        "stride": dims(module.stride),
        "padding": _padding(module),
        "dilation": dims(module.dilation),
        "groups": module.groups,
        "bias": module.bias is not None,
    }
    return Layer(type(module).__name__, options, _weight_and_bias(module))


def _padding(module: nn.Conv1d | nn.Conv2d) -> str:
    """What is added before and after each dimension, the last one first."""
    pairs: list[int] = []
    for axis in reversed(range(len(module.kernel_size))):
        if isinstance(module.padding, str):
            # torch puts the odd one of "same" behind
            total = module.dilation[axis] * (module.kernel_size[axis] - 1) if module.padding == "same" else 0
            pairs += [total // 2, total - total // 2]
        else:
            pairs += [module.padding[axis]] * 2
    return ",".join(map(str, pairs))


def _batch_norm(module: nn.BatchNorm1d, path: str) -> Layer:
    _check_eval(module, path)
    if module.running_mean is None:
        raise _refusal(path, module, "without running statistics it takes those of the batch; track them")
    options = {
        "channels": module.num_features,
        "affine": module.affine,
        "epsilon": module.eps,
        # None is torch's cumulative average, which Lux lacks; it matters in training only
        "momentum": 0.1 if module.momentum is None else module.momentum,
    }
    statistics = {"running_mean": "running_mean", "running_var": "running_var"}
    parameters = {"scale": "weight", "bias": "bias"} if module.affine else {}
    return Layer("BatchNorm1d", options, parameters, statistics)


def _layer_norm(module: nn.LayerNorm, path: str) -> Layer:
    if module.elementwise_affine and module.bias is None:
        raise _refusal(path, module, "Lux has no LayerNorm with a weight and no bias; use bias=True")
    affine = module.elementwise_affine
    options = {"shape": dims(module.normalized_shape), "affine": affine, "epsilon": module.eps}
    return Layer("LayerNorm", options, {"scale": "weight", "bias": "bias"} if affine else {})


def _dropout(module: nn.Dropout, path: str) -> Layer:
    _check_eval(module, path)
    return Layer("Dropout", {"p": module.p})


def _flatten(module: nn.Flatten, path: str) -> Layer:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise _refusal(path, module, "Lux flattens all dimensions but the batch; use Flatten()")
    return Layer("Flatten")


def _elementwise(**attributes: str) -> Callable[[Any, str], Layer]:
    """A function without parameters; its options in Julia are these attributes of the module."""

    def describe(module: nn.Module, path: str) -> Layer:
        options = {name: float(getattr(module, attribute)) for name, attribute in attributes.items()}
        return Layer(type(module).__name__, options)

    return describe


def _gelu(module: nn.GELU, path: str) -> Layer:
    return Layer("GELU", {"tanh": module.approximate == "tanh"})


# Looked up by the exact type: a class derived from one of these may compute something else.
_LAYERS: dict[type[nn.Module], Callable[[Any, str], Layer]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Dropout: _dropout,
    nn.Flatten: _flatten,
    nn.Identity: _elementwise(),
    nn.Tanh: _elementwise(),
    nn.ReLU: _elementwise(),
    nn.Sigmoid: _elementwise(),
    nn.SiLU: _elementwise(),
    nn.SELU: _elementwise(),
    nn.GELU: _gelu,
    nn.ELU: _elementwise(alpha="alpha"),
    nn.LeakyReLU: _elementwise(slope="negative_slope"),
    nn.Softplus: _elementwise(beta="beta", threshold="threshold"),
    nn.Hardtanh: _elementwise(low="min_val", high="max_val"),
}


def _weight_and_bias(module: nn.Module) -> dict[str, str]:
    return {"weight": "weight"} if module.bias is None else {"weight": "weight", "bias": "bias"}


def _check_eval(module: nn.Module, path: str) -> None:
    if module.training:
        raise _refusal(path, module, "it is in training mode, where every call is another; call eval() first")


def _check_tensors(tensors: dict[str, Tensor]) -> torch.dtype | None:
    """Refuse tensors that Julia cannot have as they are; returns their dtype, `None` where there are none."""
    first: dict[int, str] = {}
    dtypes: dict[torch.dtype, str] = {}
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu":
            raise UnsupportedError(f"to_lux takes tensors on the CPU: {name} is on {tensor.device}; call cpu() first.")
        if id(tensor) in first:
            raise UnsupportedError(
                f"{first[id(tensor)]} and {name} are one tensor, and would be two in Lux; give each layer its own."
            )
        first[id(tensor)] = name
        if not name.endswith("num_batches_tracked"):
            dtypes.setdefault(tensor.dtype, name)
    if len(dtypes) > 1 or not dtypes.keys() <= {torch.float32, torch.float64}:
        found = ", ".join(f"{name} is {dtype}" for dtype, name in dtypes.items())
        raise UnsupportedError(f"to_lux takes float32 or float64 throughout ({found}); call float() or double() first.")
    return next(iter(dtypes), None)


def _refusal(path: str, module: nn.Module, reason: str) -> UnsupportedError:
    name = type(module).__name__
    return UnsupportedError(f"to_lux cannot take {f'{path}: {name}' if path else name}, for {reason}.")
