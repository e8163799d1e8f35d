"""Torch functions compiled by themselves, without a differential equation around them."""

import itertools

import torch

from pydiffeqflux._engines.julia import _bridge
from pydiffeqflux._engines.julia._arguments import address
from pydiffeqflux._engines.julia.compiler import _programs  # noqa: F401 - registers the rules
from pydiffeqflux._engines.julia.compiler._emission import emit
from pydiffeqflux._engines.julia.compiler._lowering import JULIA_TYPES, RULES, Lowering
from pydiffeqflux._engines.julia.compiler._observer import Observer
from pydiffeqflux._engines.julia.compiler._program import Array, Place, Program, contiguous_strides
from pydiffeqflux._engines.julia.compiler._trace import trace

_names = itertools.count()


def pulled(function):
    """`(x, λ)` to `function(x)` and λᵀ times its derivative."""

    def both(x, λ):
        value, vjp = torch.func.vjp(function, x)
        return value, vjp(λ)[0]

    return both


def pulled_tangent(function):
    """`(x, λ, g)` to the derivative of λᵀ J g, J the Jacobian at x, as Rosenbrock steps need it."""

    def tangent(x, λ, g):
        return torch.func.vjp(lambda w: torch.func.vjp(function, w)[1](λ)[0], x)[1](g)[0]

    return tangent


def lowered(function, *inputs):
    """The program of a function of tensors of one dtype, the first of them in `u` and the others in `p`."""
    graph = trace(function, inputs, RULES)
    results = [leaf.meta["val"] for leaf in torch.utils._pytree.tree_leaves(graph.graph.output_node().args[0])]
    dtype = inputs[0].dtype
    sizes = [x.numel() for x in inputs]
    out = Array("out", sum(r.numel() for r in results), dtype, "argument")
    u, p = Array("u", sizes[0], dtype, "argument"), Array("p", sum(sizes[1:]), dtype, "argument")
    program = Program([out, u, p, Array("t", 1, torch.float64, "argument")])
    lowering = Lowering(program)
    starts = [0, *itertools.accumulate(sizes[1:], initial=0)]
    values = [
        lowering.value_of(Place(p if k else u, starts[k], tuple(x.shape), contiguous_strides(tuple(x.shape))))
        for k, x in enumerate(inputs)
    ]
    start = 0
    for value in lowering.lower(graph, values):
        assert value.dtype == dtype
        lowering.store(value, Place(out, start, value.shape, contiguous_strides(value.shape)))
        start += value.size
    return program


def run(program, *inputs, generic=False):
    """What the compiled program gives, flat."""
    bridge = _bridge.start()
    name = f"g{next(_names)}"
    source = emit(program, name, generic=generic)

    def types(arrays):
        return ",".join(f"{JULIA_TYPES[array.dtype]}:{array.size}" for array in arrays)

    handle = bridge.keep(
        bridge.call(
            "compiled_function", source.text, name, "" if generic else types(source.buffers), types(source.constants)
        )
    )
    kept = [program.constants[array].detach().contiguous() for array in source.constants]
    if kept:
        addresses = ",".join(str(tensor.data_ptr()) for tensor in kept)
        bridge.call("set_constants", handle.number, addresses, types(source.constants))
    u = inputs[0].contiguous().reshape(-1)
    p = torch.cat([x.reshape(-1) for x in inputs[1:]]) if inputs[1:] else u.new_empty(0)
    # canaries behind the output, since the generated code does not check bounds
    out = torch.full((program.arguments[0].size + 8,), 12345.0, dtype=u.dtype)
    bridge.call(
        "evaluate_compiled", handle.number, u.dtype == torch.float32, address(out), out.numel() - 8, 0, 0, address(u),
        u.numel(), address(p) if p.numel() else 0, p.numel(), 0.5,
    )  # fmt: skip
    assert bool((out[-8:] == 12345.0).all())
    return out[:-8]


def flat(results):
    """All elements of some tensors."""
    return torch.cat([x.detach().reshape(-1) for x in torch.utils._pytree.tree_leaves(results)])


def worst(found, expected):
    """The largest error, relative to the largest element; infinite where only one of them is finite."""
    if not torch.equal(found.isfinite(), expected.isfinite()):
        return float("inf")
    same = (found == expected) | (found.isnan() & expected.isnan())
    if bool(same.all()):
        return 0.0
    scale = max(1.0, expected[expected.isfinite()].abs().max().item())
    return torch.where(same, 0.0, found - expected).abs().max().item() / scale


def compare(function, x, *, generic=False, derivative=True):
    """The largest relative error of value and vector-Jacobian product."""
    if not derivative:
        return worst(run(lowered(function, x), x, generic=generic), flat(function(x)))
    λ = torch.randn(function(x).shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    # as the engine does it: first the graph of the function, then that of its derivative
    graph = trace(Observer(function), (x,), decompose=False)
    return worst(run(lowered(pulled(graph), x, λ), x, λ, generic=generic), flat(pulled(function)(x, λ)))
