"""From the functions of a problem to what the engines evaluate."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from .._julia_source import JuliaSource
from ._checked_function import CheckedFunction
from ._connection import Connection, connection_of_call, connection_of_snapshot, joined
from ._delayed import Delayed, Lags
from ._derivatives import graph_leaves
from ._diffusion import Diffusion
from ._evaluation import AbstractEvaluation, AutocastEvaluation, DirectEvaluation, TracedEvaluation
from ._history import AbstractHistory
from ._implicit import ImplicitSpace, check_residual, equations_of, find_differential, mass_of, semi_explicit
from ._parameters import Parameters
from ._pure import Snapshot
from ._reachable import reachable_tensors
from ._right_hand_side import RightHandSide
from ._source_right_hand_side import SourceRightHandSide
from ._state import StateSpace
from ._tracing import Refusal, find, trace

F = TypeVar("F", bound=CheckedFunction)


def prepare_right_hand_side(
    function: Callable[..., Any],
    u0: Tensor,
    tspan: tuple[float, float],
    p: Any,
    mass_matrix: Tensor | None = None,
    *,
    diffusion: Callable[..., Any] | None = None,
    traced: bool = False,
) -> RightHandSide:
    """The right-hand side of a problem.

    A function whose gradient may be wanted is traced, so that what is differentiated is what was solved, whatever
    becomes of the objects that the function reads. One that cannot be traced is called as it is.

    Arguments:
        function: the user's `f(u, p, t)`.
        u0: its initial state, checked.
        tspan: its start and end time.
        p: its parameters.
        mass_matrix: its mass matrix.
        diffusion: the user's `g(u, p, t)`, where the equation has noise.
        traced: whether to trace them also where no gradient can be wanted.

    Raises:
        RightHandSideError: `f` returns something that is not a derivative of `u`, or `g` what cannot multiply noise.
    """
    parameters = Parameters(p, differentiate=torch.is_grad_enabled())
    if isinstance(function, JuliaSource):
        return SourceRightHandSide(u0, tspan, mass_matrix, function, parameters)
    rhs = _prepare(_Preparation(function, u0, tspan, parameters, RightHandSide), traced=traced)
    rhs.mass_matrix = mass_matrix
    if diffusion is not None:
        rhs.diffusion = _prepare(_Preparation(diffusion, u0, tspan, parameters, Diffusion), traced=traced)
        rhs.diffusion.find_layout()
    return rhs


def prepare_delayed(
    function: Callable[..., Any],
    history: AbstractHistory,
    lags: Lags,
    u0: Tensor,
    tspan: tuple[float, float],
    p: Any,
) -> RightHandSide:
    """The right-hand side of a delay equation.

    It is called as it is, and not traced: its gradient is taken along the graph that the solve records, and so is that
    of what was solved.

    Arguments:
        function: the user's `f(u, h, p, t)`.
        history: the states before the start.
        lags: what the user has said of the delays.
        u0: the initial state, checked.
        tspan: start and end time.
        p: the parameters.

    Raises:
        RightHandSideError: `f` returns something that is not a derivative of `u`, or asks for a time in the future.
    """
    parameters = Parameters((p, history.tensors), differentiate=torch.is_grad_enabled())
    delayed = Delayed(function, history, lags, u0, tspan)
    preparation = _Preparation(delayed, u0, tspan, parameters, RightHandSide)
    rhs = preparation.direct()
    if torch.is_grad_enabled():
        first = connection_of_call(rhs, rhs.u0, tspan[0])
        connection = replace(joined([first, *_later_connections(rhs)]), outputs=[])
        nf = rhs.nf
        rhs = preparation.direct(connection)
        rhs.nf = nf
    rhs.delayed = delayed
    return rhs


def prepare_implicit(
    function: Callable[..., Any],
    du0: Tensor,
    u0: Tensor,
    tspan: tuple[float, float],
    p: Any,
    differential: tuple[int, ...] | None,
    *,
    traced: bool = False,
) -> RightHandSide:
    """The right-hand side of an implicit equation, as that of one with a mass matrix.

    Arguments:
        function: the user's residual `f(du, u, p, t)`.
        du0: the initial derivative.
        u0: the initial state, checked.
        tspan: start and end time.
        p: the parameters.
        differential: the elements of u whose derivatives occur, `None` to find them.
        traced: as in `prepare_right_hand_side`.

    Raises:
        RightHandSideError: `f` returned something that is not a residual.
        InvalidProblemError: no derivative occurs in it.
    """
    time = StateSpace.of(u0).time(tspan[0])
    if differential is None:
        differential = find_differential(function, du0, u0, p, time)
    else:
        check_residual(function(du0.detach().clone(), u0.detach().clone(), p, time), u0)
    places = list(differential)
    start = torch.cat([u0.reshape(-1), du0.reshape(-1)[places].to(u0)])
    mass = mass_of(u0.numel(), differential, u0.detach())
    explicit = semi_explicit(function, u0.shape, differential)
    rhs = prepare_right_hand_side(explicit, start, tspan, p, mass, traced=traced)
    rhs.space = ImplicitSpace.around(u0, differential)
    rhs.equations = equations_of(u0.numel(), differential)
    return rhs


def _prepare(preparation: "_Preparation[F]", *, traced: bool) -> F:
    """One function of an equation."""
    gradients = torch.is_grad_enabled()
    function, u0, tspan, parameters = preparation.function, preparation.u0, preparation.tspan, preparation.parameters
    # the state requires a gradient where gradients are taken: f may see it, and derivatives of its own are traced then
    u = u0.detach().clone().requires_grad_(gradients)
    arguments = u, parameters.p, StateSpace.of(u0).time(tspan[0])
    found = find(function, arguments)
    if isinstance(found, Snapshot):
        return preparation.traced(found)
    if not (gradients or traced):
        return preparation.direct()
    # evaluated before it is traced: what is wrong with it shows here, and caches of its own are filled
    first = preparation.direct()
    connection = None
    if gradients:
        connection = connection_of_call(first, first.u0, tspan[0])
    else:
        first(first.u0.clone(), tspan[0])
    if found is None and (traced or preparation.may_have_gradient(connection)):
        found = trace(function, arguments)
    if isinstance(found, Snapshot):
        made = preparation.traced(found)
    else:
        if connection is not None:
            connection = joined([connection, *_later_connections(first)])
        made = preparation.direct(connection, found)
    made.nf = first.nf
    return made


def _later_connections(rhs: CheckedFunction) -> Iterator[Connection]:
    """Those of a function that is called as it is: it may use some tensors only after a while."""
    t0, t1 = rhs.tspan
    for t in (0.5 * (t0 + t1), t1):
        # at a state that is not the one there, it may fail for good reason
        with suppress(Exception):
            yield connection_of_call(rhs, rhs.u0, t)


@dataclass(frozen=True)
class _Preparation(Generic[F]):
    """A function of a problem, and what is made of it."""

    function: Callable[..., Any]
    u0: Tensor
    tspan: tuple[float, float]
    parameters: Parameters
    kind: type[F]

    def may_have_gradient(self, connection: Connection | None) -> bool:
        """Whether a gradient can be wanted: something that requires one is there, or may be reached later."""
        if connection is None:
            return False
        if self.u0.requires_grad or self.parameters.tensors or connection.leaves:
            return True
        return any(x.requires_grad for x in reachable_tensors(self.function))

    def traced(self, snapshot: Snapshot) -> F:
        """The function as it was traced."""
        parameters = self.parameters
        connection = None
        if torch.is_grad_enabled():
            if isinstance(self.function, torch.nn.Module):
                parameters.add((q for q in self.function.parameters() if q.requires_grad), as_local=True)
            parameters.add((x for x in snapshot.captured if x.requires_grad), as_local=True)
            found = connection_of_snapshot(snapshot)
            connection = Connection(found.uses_state, [parameters.local_of(x) for x in found.leaves], found.varies)
        rhs = self._make(TracedEvaluation(snapshot, parameters), snapshot=snapshot)
        rhs.connection = connection
        rhs.watch(snapshot.captured)
        return rhs

    def direct(self, connection: Connection | None = None, refusal: Refusal | None = None) -> F:
        """The function as it is."""
        parameters, reachable = self.parameters, []
        if connection is not None:
            if isinstance(self.function, torch.nn.Module):
                parameters.add((q for q in self.function.parameters() if q.requires_grad), as_local=False)
            known = {id(q) for q in parameters.tensors}
            parameters.add((x for x in connection.leaves if id(x) not in known), as_local=False)
            reachable = reachable_tensors(self.function)
            for x in reachable:  # it may use some later only
                if x.requires_grad and id(x) not in {id(owner) for owner in parameters.owners}:
                    parameters.add(graph_leaves(x), as_local=False)
            found = [parameters.local_of(x) for x in connection.leaves]
            connection = replace(connection, leaves=found)
        rhs = self._make(DirectEvaluation(self.function, parameters), refusal=refusal)
        rhs.connection = connection
        rhs.watch(reachable)
        return rhs

    def _make(self, evaluation: AbstractEvaluation, **found: Any) -> F:
        device = self.u0.device.type
        if torch.is_autocast_enabled(device):
            evaluation = AutocastEvaluation(evaluation, device)
        return self.kind(self.u0, self.tspan, self.function, evaluation, self.parameters, **found)
