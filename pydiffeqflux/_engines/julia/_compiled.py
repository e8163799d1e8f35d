"""A torch right-hand side compiled to Julia."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..._errors import UnsupportedError
from ..._functions import CheckedFunction
from ._arguments import address
from ._bridge import Bridge, Handle
from ._callbacks import Poll, Products
from ._verification import GENERIC, agrees, captured_parameters, expectation, points
from .compiler._emission import JuliaCode, emit
from .compiler._location import locate
from .compiler._lowering import JULIA_TYPES
from .compiler._program import Array, Program
from .compiler._programs import (
    derivative_program,
    pull_both_program,
    pull_parameters_program,
    pull_state_program,
    pull_tangent_program,
)
from .compiler._replay import Replay
from .compiler._trace import CannotCompileError
from .compiler._traced import BoundFunction, Inputs, Origin, TracedFunction, origins, take


@dataclass(eq=False)
class _Loaded:
    """A function in Julia, which reads constants where it was told last.

    Attributes:
        handle: the function.
        code: its source.
        constants: the tensors that it reads.
        addresses: where it reads them.
    """

    handle: Handle
    code: JuliaCode
    constants: list[Origin]
    addresses: list[int] = field(default_factory=list)

    def set_constants(self, bridge: Bridge, dense: list[Tensor]) -> None:
        """Let it read its constants from these tensors, which must be kept while it does."""
        addresses = list(map(address, dense))
        if addresses != self.addresses:
            self.addresses = addresses
            bridge.call("set_constants", self.handle.number, ",".join(map(str, addresses)), _types(self.code.constants))


def _types(arrays: list[Array]) -> str:
    return ",".join(f"{JULIA_TYPES[array.dtype]}:{array.size}" for array in arrays)


def digest(tensor: Tensor) -> bytes:
    """A value that differs when the contents of a tensor do."""
    numbers = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy(force=True)
    return hashlib.sha256(numbers.tobytes()).digest()


_PROGRAMS: dict[str, Callable[[BoundFunction], Program]] = {
    "f": derivative_program,
    GENERIC: derivative_program,
    "pull_state": pull_state_program,
    "pull_parameters": pull_parameters_program,
    "pull_both": pull_both_program,
    "pull_tangent": pull_tangent_program,
}


@dataclass(frozen=True)
class Needs:
    """What a solve and its gradient need beside `f`.

    Attributes:
        products: the vector-Jacobian products.
        jacobian: whether the Jacobian is needed.
    """

    products: Products
    jacobian: bool

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions to compile, in the order of `_PROGRAMS`; "" for those that are not needed."""
        separate, tangent = self.products is Products.SEPARATE, self.products is Products.JOINT_WITH_TANGENT
        joint = tangent or self.products is Products.JOINT
        wanted = (True, self.jacobian, separate, separate, joint, tangent)
        return tuple(name if want else "" for name, want in zip(_PROGRAMS, wanted, strict=True))


def trace_function(rhs: CheckedFunction) -> TracedFunction:
    """A user function as a graph of primitive operations.

    Raises:
        CannotCompileError: it has none, or not one that can be compiled.
    """
    if rhs.refusal is not None:
        raise CannotCompileError(rhs.refusal.reason, rhs.refusal.where)
    assert rhs.snapshot is not None
    if rhs.is_complex:
        raise CannotCompileError("complex states are not supported")
    parameters = [*rhs.leaves, *captured_parameters(rhs)]
    if any(q.dtype != rhs.dtype or q.device.type != "cpu" for q in parameters):
        raise CannotCompileError("its parameters have another dtype or device than u")
    if any(x.device.type != "cpu" for x in rhs.snapshot.captured):
        raise CannotCompileError("it reads tensors that are not on the CPU")
    replay = Replay(rhs.snapshot.function, rhs.snapshot.inputs)
    inputs = Inputs({"u": rhs.u0}, rhs.leaves, rhs.time(0.0), rhs.u0.new_empty(rhs.returned_shape))
    try:
        return TracedFunction(replay, inputs, rhs.snapshot.captured, captured_parameters(rhs))
    except CannotCompileError as error:
        raise CannotCompileError(error.reason, error.where or replay.line, error.operation) from error


class CompiledFunction:
    """One torch function at one shape: traced once, its derivatives compiled as they are asked for.

    It serves for all functions that compute the same from other tensors: methods are given the right-hand side at hand.

    Arguments:
        bridge: the running Julia.
        rhs: a function to trace.
    """

    def __init__(self, bridge: Bridge, rhs: CheckedFunction) -> None:
        self._bridge = bridge
        self._single = rhs.dtype == torch.float32
        self._n = rhs.numel
        self._traced = trace_function(rhs)
        tensors = _captured(rhs)
        self._reads = [(origin, digest(take(origin, tensors))) for origin in self._traced.reads]
        self._loaded: dict[str, _Loaded] = {}
        self._assembled: dict[Needs, Handle] = {}
        self._refused: dict[Needs, CannotCompileError] = {}

    def is_current(self, rhs: CheckedFunction) -> bool:
        """Whether the tensors whose contents were taken to be constant have not changed."""
        tensors = _captured(rhs)
        return all(digest(take(origin, tensors)) == contents for origin, contents in self._reads)

    # ---- functions

    def _load(self, name: str, rhs: CheckedFunction) -> _Loaded:
        if name not in self._loaded:
            tensors = _captured(rhs)
            generic = name == GENERIC
            program = _PROGRAMS[name](self._traced.bind(tensors))
            code = emit(program, name, generic=generic)
            buffers = "" if generic else _types(code.buffers)
            number = self._bridge.call("compiled_function", code.text, name, buffers, _types(code.constants))
            constants = origins([program.constants[array] for array in code.constants], tensors)
            loaded = _Loaded(self._bridge.keep(number), code, constants)
            self._verify(name, loaded, rhs)
            self._loaded[name] = loaded
        return self._loaded[name]

    def _verify(self, name: str, loaded: _Loaded, rhs: CheckedFunction) -> None:
        """Compare with torch at some states: code that differs must not be used."""
        tensors = _captured(rhs)
        dense = _dense(loaded.constants, tensors)  # kept until Julia has read them
        loaded.set_constants(self._bridge, dense)
        p, captured = self.flat_parameters(rhs), self._traced.parameters(tensors)
        for point in points(rhs):
            expected, noise = expectation(name, rhs, captured, point)
            out = torch.empty_like(expected)
            λ = point.cotangent(name)
            self._bridge.call(
                "evaluate_compiled", loaded.handle.number, self._single, address(out), out.numel(), address(λ),
                λ.numel(), address(point.u), point.u.numel(), address(p), p.numel(), point.t,
            )  # fmt: skip
            if not agrees(out, expected, noise):
                raise CannotCompileError("the compiled code does not give what torch gives")
        del dense

    # ---- parameters

    def flat_parameters(self, rhs: CheckedFunction) -> Tensor:
        """The numbers that the compiled functions call `p`."""
        parts = [tensor.detach().reshape(-1) for tensor in (*rhs.leaves, *self._traced.parameters(_captured(rhs)))]
        if len(parts) == 1:
            return parts[0].contiguous()
        return torch.cat(parts) if parts else torch.empty(0, dtype=rhs.dtype)

    def places(self, rhs: CheckedFunction) -> list[slice | None]:
        """Where each differentiated parameter lies in the flat ones, `None` for those that `f` does not use."""
        starts: dict[int, slice] = {}
        start = 0
        for tensor in (*rhs.leaves, *self._traced.parameters(_captured(rhs))):
            starts.setdefault(id(tensor), slice(start, start + tensor.numel()))
            start += tensor.numel()
        pairs = zip(rhs.parameters, rhs.owners, strict=True)
        return [starts.get(id(q)) or starts.get(id(owner)) for q, owner in pairs]

    def constants(self, rhs: CheckedFunction, needs: Needs) -> dict[str, list[Tensor]]:
        """What each function reads, without gaps in memory."""
        tensors = _captured(rhs)
        return {name: _dense(self._loaded[name].constants, tensors) for name in needs.functions if name}

    def set_constants(self, constants: dict[str, list[Tensor]]) -> None:
        """Let the functions read these, which must be kept while they do."""
        for name, dense in constants.items():
            self._loaded[name].set_constants(self._bridge, dense)

    # ---- right-hand sides

    def prepare(self, rhs: CheckedFunction, needs: Needs) -> CannotCompileError | None:
        """Compile what is not compiled yet; returns what stands in the way, if something does."""
        if needs not in self._assembled and needs not in self._refused:
            try:
                self._assembled[needs] = self._assemble(rhs, needs)
            except CannotCompileError as error:
                self._refused[needs] = with_line(error, rhs)
        return self._refused.get(needs)

    def _assemble(self, rhs: CheckedFunction, needs: Needs) -> Handle:
        numbers = [self._load(name, rhs).handle.number if name else 0 for name in needs.functions]
        return self._bridge.keep(
            self._bridge.call("compiled_functions", self._single, *numbers, self._n if needs.jacobian else 0)
        )

    def right_hand_side(self, parameters: Tensor, poll: Poll, needs: Needs) -> int:
        """Handle of a right-hand side at these parameters, which must be kept while it is used."""
        number = self._assembled[needs].number
        return self._bridge.call("compiled_rhs", number, address(parameters), parameters.numel(), poll.address)


def _captured(rhs: CheckedFunction) -> list[Tensor]:
    """The tensors that the function at hand reads, in the order that all functions share that compute the same."""
    assert rhs.snapshot is not None
    return rhs.snapshot.captured


def _dense(constants: list[Origin], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [take(origin, tensors).detach().contiguous() for origin in constants]


def with_line(error: CannotCompileError, rhs: CheckedFunction) -> CannotCompileError:
    """The same, with the line of the user's code if that can be found, and without what it holds of the user's."""
    line = error.where
    if not line and error.operation:
        line = locate(lambda u, t: rhs.function(u, rhs.p, t), (rhs.u0, rhs.time(0.0)), error.operation)
    return error.at(line)


def generated_source(rhs: CheckedFunction) -> str:
    """The Julia code of `f` and of its vector-Jacobian products.

    Raises:
        UnsupportedError: there is none, with the reason.
    """
    needs = Needs(Products.SEPARATE, jacobian=False)
    try:
        bound = trace_function(rhs).bind(_captured(rhs))
        texts = [emit(_PROGRAMS[name](bound), name).text for name in filter(None, needs.functions)]
    except CannotCompileError as error:
        raise UnsupportedError(f"f cannot be compiled to Julia: {with_line(error, rhs)}.") from error
    return "\n\n".join(texts) + "\n"
