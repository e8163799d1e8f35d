"""Structs that cross the border by address; `julia/src` holds their mirror images, field by field."""

import ctypes
import math
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

_INT, _FLOAT, _ADDRESS = ctypes.c_int64, ctypes.c_double, ctypes.c_uint64


class CallbackArguments(ctypes.Structure):
    """`CallbackArguments` of `c_callbacks.jl`."""

    _fields_ = (
        ("single", _INT),
        ("n", _INT),
        ("n_out", _INT),
        ("n_p", _INT),
        ("joint", _INT),
        ("f", _ADDRESS),
        ("vjp", _ADDRESS),
        ("tangent", _ADDRESS),
        ("jac", _ADDRESS),
        ("poll", _ADDRESS),
        ("u", _ADDRESS),
        ("du", _ADDRESS),
        ("λ", _ADDRESS),
        ("g", _ADDRESS),
        ("λ_du", _ADDRESS),
        ("λ_dp", _ADDRESS),
        ("jac_u", _ADDRESS),
        ("jac_matrix", _ADDRESS),
        ("jac_time", _ADDRESS),
    )


class NoiseArguments(ctypes.Structure):
    """`NoiseArguments` of `noise.jl`."""

    _fields_ = (
        ("single", _INT),
        ("n", _INT),
        ("with_areas", _INT),
        ("keep", _INT),
        ("t0", _FLOAT),
        ("count", _INT),
        ("times", _ADDRESS),
        ("increments", _ADDRESS),
        ("areas", _ADDRESS),
        ("noise", _ADDRESS),
        ("w", _ADDRESS),
        ("area", _ADDRESS),
    )


class SolveArguments(ctypes.Structure):
    """`SolveArguments` of `solutions.jl`."""

    _fields_ = (
        ("rhs", _INT),
        ("alg", _INT),
        ("controller", _INT),
        ("n", _INT),
        ("u0", _ADDRESS),
        ("mass_matrix", _ADDRESS),
        ("t0", _FLOAT),
        ("t1", _FLOAT),
        ("n_saveat", _INT),
        ("saveat", _ADDRESS),
        ("n_tstops", _INT),
        ("tstops", _ADDRESS),
        ("n_discontinuities", _INT),
        ("discontinuities", _ADDRESS),
        ("abstol", _FLOAT),
        ("reltol", _FLOAT),
        ("abstol_vector", _ADDRESS),
        ("reltol_vector", _ADDRESS),
        ("dt", _FLOAT),
        ("dtmin", _FLOAT),
        ("dtmax", _FLOAT),
        ("maxiters", _INT),
        ("adaptive", _INT),
        ("implicit", _INT),
        ("save_everystep", _INT),
        ("save_start", _INT),
        ("save_end", _INT),
        ("keep_steps", _INT),
        ("keep_ends", _INT),
        ("diffusion", _INT),
        ("noise", _INT),
    )


class SolveResult(ctypes.Structure):
    """`SolveResult` of `solutions.jl`."""

    _fields_ = (
        ("record", _INT),
        ("retcode", _INT),
        ("n_times", _INT),
        ("times", _ADDRESS),
        ("states", _ADDRESS),
        ("nf", _INT),
        ("naccept", _INT),
        ("nreject", _INT),
        ("njac", _INT),
        ("nsolve", _INT),
        ("nw", _INT),
        ("nf2", _INT),
    )


class AdjointArguments(ctypes.Structure):
    """`AdjointArguments` of `adjoints.jl`."""

    _fields_ = (
        ("record", _INT),
        ("sensealg", _INT),
        ("alg", _INT),
        ("n_times", _INT),
        ("times", _ADDRESS),
        ("cotangents", _ADDRESS),
        ("du0", _ADDRESS),
        ("dp", _ADDRESS),
        ("dg", _ADDRESS),
    )


CROSSING: tuple[type[ctypes.Structure], ...] = (
    CallbackArguments,
    NoiseArguments,
    SolveArguments,
    SolveResult,
    AdjointArguments,
)
"""All structs that cross, in the order of Julia's `CROSSING`."""


def layouts() -> str:
    """The sizes of the structs and the offsets of their fields, as Julia's `layouts` writes them."""
    return ";".join(map(_layout, CROSSING))


def _layout(struct: type[ctypes.Structure]) -> str:
    fields = ",".join(f"{field[0]}={getattr(struct, field[0]).offset}" for field in struct._fields_)
    return f"{struct.__name__}:{ctypes.sizeof(struct)}:{fields}"


def first_difference(in_julia: str) -> str:
    """The first struct whose layout in Julia is another one, with both; empty where all are the same."""
    ours, theirs = layouts().split(";"), in_julia.split(";")
    if len(ours) != len(theirs):
        return f"{len(theirs)} structs for {len(ours)}"
    return next((f"{b} for {a}" for a, b in zip(ours, theirs, strict=True) if a != b), "")


def doubles(values: Sequence[float]) -> "ctypes.Array[ctypes.c_double]":
    """Numbers as an array of doubles; it must be kept while Julia reads it."""
    return (ctypes.c_double * len(values)).from_buffer(array("d", values))


def address(values: "Tensor | ctypes.Array[ctypes.c_double] | ctypes.Structure") -> int:
    """Where the data of a contiguous tensor, an array or a struct lies; 0 for an empty tensor."""
    return values.data_ptr() if isinstance(values, Tensor) else ctypes.addressof(values)


def dims(shape: Sequence[int]) -> str:
    """The shape in Julia, where the first index runs fastest."""
    return ",".join(map(str, reversed(shape)))


def view(at: int, shape: tuple[int, ...], dtype: torch.dtype, *, owner: object) -> Tensor:
    """A tensor on memory that `owner` keeps; the tensor keeps the owner."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    kind = ctypes.c_float if dtype == torch.float32 else ctypes.c_double
    memory = (kind * count).from_address(at)
    # torch keeps a reference to the object whose memory it uses
    memory.owner = owner  # pyright: ignore[reportAttributeAccessIssue]
    return torch.frombuffer(memory, dtype=dtype).view(shape)
