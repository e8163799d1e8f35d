"""The right-hand side as the engines see it: a checked function of a real state, and its derivatives by autograd."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ._errors import GradientError, GradientWarning, RightHandSideError
from ._fingerprint import Fingerprint
from ._julia_source import JuliaSource
from ._parameters import leaves, map_leaves, replace_leaves
from ._problems import ODEProblem
from ._reused_outputs import OutputOwner


@dataclass(frozen=True, eq=False)
class Probe:
    """What one evaluation of `f` tells about every other.

    Attributes:
        extra: leaf tensors that require a gradient and are neither in `p` nor parameters of a module that is `f`.
        uses_state: whether the state is used.
        used: which of the parameters are used, those of `extra` last.
    """

    extra: list[Tensor]
    uses_state: bool
    used: frozenset[int]


SINGLE_PASSES = 2
"""Up to so many vector-Jacobian products cost less one by one than what it takes to batch them."""


class RightHandSide:
    """`f(u, p, t)` of a problem, with its parameters and derivatives.

    A complex state is presented as a real one with a last axis of two, so that Jacobians, error norms and adjoints are
    those of a real system. Parameters are detached copies: gradients that are computed here never reach the user's
    graph; `sources` are the tensors that the gradients belong to.

    Attributes:
        u0: the initial state, real and detached.
        parameters: the tensors to differentiate with respect to: leaves of `p` that require a gradient, then those of
            the module, then other leaves that `f` was seen to use.
        sources: for each of `parameters` the tensor that the user holds.
        u0_requires_grad: whether the user's initial state does.
        nf, njac: calls of `f` and Jacobians so far.
        probe: what an evaluation of `f` told; `None` where gradients are disabled, and nothing was evaluated.

    Arguments:
        prob: the problem.
        probe: that of an earlier right-hand side, where `f` is known to be the same and not to branch on values.
        captured: the tensors that `f` may read beside its arguments, where they are known.
    """

    def __init__(self, prob: ODEProblem, probe: Probe | None = None, captured: Sequence[Tensor] | None = None) -> None:
        self.mass_matrix = prob.mass_matrix
        self.is_complex = prob.u0.is_complex()
        u0 = prob.u0.detach().clone()  # an f that writes to its argument must not reach the user's tensor
        self.u0 = torch.view_as_real(u0.resolve_conj()) if self.is_complex else u0
        self.shape, self.numel = self.u0.shape, self.u0.numel()
        self.dtype, self.device = self.u0.dtype, self.u0.device
        self.u0_requires_grad = prob.u0.requires_grad
        self._tspan = prob.tspan
        self.nf = 0
        self.njac = 0
        self._f = prob.f
        self._call = self._call_complex if self.is_complex else prob.f
        self._user_shape, self._user_dtype = u0.shape, u0.dtype
        self.parameters: list[Tensor] = []
        self.sources: list[Tensor] = []
        self.n_from_p = self.n_from_module = 0
        self._eye: Tensor | None = None
        self._outputs = OutputOwner()
        self.time_by_differences = False  # set where autograd does not see how f depends on time
        if torch.is_grad_enabled():
            self._p = map_leaves(prob.p, self._adopt)
            self.n_from_p = len(self.parameters)
            if isinstance(prob.f, torch.nn.Module):
                self._add(q for q in prob.f.parameters() if q.requires_grad)
                self.n_from_module = len(self.parameters) - self.n_from_p
            self.probe = self._probe(prob.tspan[0]) if probe is None else probe
            self._add(self.probe.extra)
        else:
            self.probe = None
            self._p = map_leaves(prob.p, Tensor.detach)
        self._versions = _versions([*self.sources, *leaves(prob.p)])
        self._captured: dict[int, tuple[Tensor, int]] = {}
        if self.parameters or (self.u0_requires_grad and torch.is_grad_enabled()):
            tensors = _captured_tensors(prob.f) if captured is None else captured
            self._captured = _versions(q for q in tensors if id(q) not in self._versions)

    # ---- parameters

    def _adopt(self, leaf: Tensor) -> Tensor:
        if not leaf.requires_grad:
            return leaf
        local = leaf.detach().requires_grad_()
        self.parameters.append(local)
        self.sources.append(leaf)
        return local

    def _add(self, tensors: Iterable[Tensor]) -> None:
        known = {id(q) for q in self.parameters}
        for tensor in tensors:
            if id(tensor) not in known:
                known.add(id(tensor))
                self.parameters.append(tensor)
                self.sources.append(tensor)

    def _probe(self, t0: float) -> Probe:
        """Evaluate `f` once and walk its graph: what it uses, and which leaves hide in its closure."""
        u = self.u0.clone().requires_grad_()
        k = self(u.clone(), t0)  # not the leaf itself: torch has its own error for writing to that
        found = {id(leaf): leaf for leaf in _graph_leaves(k)}
        uses_state = found.pop(id(u), None) is not None
        known = {id(q) for q in self.parameters}
        extra = [leaf for name, leaf in found.items() if name not in known]
        used = frozenset(i for i, q in enumerate((*self.parameters, *extra)) if id(q) in found)
        return Probe(extra, uses_state, used)

    def check_connected(self) -> None:
        """Refuse an `f` that cuts the graph between its output and everything that can have a gradient.

        Raises:
            GradientError: the output of `f` at the initial state depends on neither the state nor any parameter.
        """
        assert self.probe is not None
        if not (self.probe.uses_state or self.probe.used):
            raise GradientError(
                "a gradient was asked for, but the output of f is connected to neither u nor any parameter. "
                "Does f call .detach(), .item() or numpy, or run under torch.no_grad()? "
                "If u' really is constant, return it plus 0 * u, or solve under torch.no_grad()."
            )
        unused = sum(i not in self.probe.used for i in range(self.n_from_p))
        if unused:
            warnings.warn(
                f"f does not use {unused} of the {self.n_from_p} tensors of p that require a gradient (at t0); "
                "their gradient there is zero. Does f detach them?",
                GradientWarning,
                stacklevel=4,
            )

    def forget_own_writes(self) -> None:
        """Leave tensors alone that `f` writes to itself, as batch normalisation does; called after a solve."""
        self._captured = {key: entry for key, entry in self._captured.items() if not _is_modified(entry)}

    def check_unmodified(self) -> None:
        """Refuse tensors that are not what they were: a gradient evaluates `f` again.

        Raises:
            GradientError: a parameter, or a tensor that `f` has captured and reads, was written to after the solve.
        """
        what = ""
        if any(map(_is_modified, self._versions.values())):
            what = "parameters were"
        elif any(map(_is_modified, self._captured.values())) and self._reads_modified():
            what = "a tensor that f reads was"
        if what:
            raise GradientError(
                f"{what} modified in place after the solve, so its gradient cannot be computed any more; call "
                "backward() before optimizer.step() and the like, or solve again."
            )

    def _reads_modified(self) -> bool:
        """Whether one of the captured tensors that were modified is used by `f`, which need not be so."""
        modified = {key for key, entry in self._captured.items() if _is_modified(entry)}
        t0, t1 = self._tspan
        with torch.no_grad(), _Operands() as operands:
            for t in (t0, 0.5 * (t0 + t1), t1):  # it may read some only after a while
                self._call(self.u0.clone(), self._p, self.time(t))
        return not modified.isdisjoint(operands.seen)

    # ---- evaluation

    def time(self, t: float | Tensor) -> Tensor:
        """`t` as the 0-d tensor that `f` receives."""
        return t if isinstance(t, Tensor) else torch.full((), t, dtype=self.dtype, device=self.device)

    def __call__(self, u: Tensor, t: float | Tensor) -> Tensor:
        """`f(u, p, t)`, checked. `u` and the result have the shape of `self.u0`."""
        self.nf += 1
        version = u._version
        k = self._call(u, self._p, self.time(t))
        if k.__class__ is not Tensor and not isinstance(k, Tensor):
            raise RightHandSideError(f"f returned {type(k).__name__}; it must return a torch tensor like u.")
        if k.shape != self.shape or k.dtype != self.dtype or k.device != self.device:
            self._refuse_output(k)
        if u._version != version:
            raise RightHandSideError("f modified its argument u in place; compute the derivative out of place.")
        return self._outputs.own(k, u)

    def _call_complex(self, u: Tensor, p: Any, t: Tensor) -> Any:
        """`f` of a complex state in its real form."""
        k = self._f(torch.view_as_complex(u), p, t)
        return torch.view_as_real(k.resolve_conj()) if isinstance(k, Tensor) and k.is_complex() else k

    def _refuse_output(self, k: Tensor) -> None:
        shape = k.shape[:-1] if self.is_complex and k.shape == self.shape else k.shape
        raise RightHandSideError(
            f"f returned a tensor of shape {tuple(shape)}, {k.dtype} on {k.device}; u has shape "
            f"{tuple(self._user_shape)}, {self._user_dtype} on {self.device}. "
            "f must return the derivative of u in the same shape, dtype and device."
        )

    def functional(self, parameters: list[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """`f` as a function of `(u, t)` with `parameters` in the place of `self.parameters`, for `torch.func`.

        Raises:
            GradientError: some parameters are neither in `p` nor in a module that is `f` itself.
        """
        if len(self.parameters) > self.n_from_p + self.n_from_module:
            raise GradientError(
                "ForwardDiffSensitivity cannot reach parameters in the closure of f: pass them through p, make f an "
                "nn.Module, or use ReverseDiffAdjoint() or GaussAdjoint()."
            )
        local = {id(old): new for old, new in zip(self.parameters, parameters, strict=True)}
        p = replace_leaves(self._p, [local.get(id(q), q) for q in leaves(self._p)])
        module = self._f
        if not isinstance(module, torch.nn.Module):
            return lambda u, t: self._call(u, p, t)
        weights = {name: local[id(q)] for name, q in module.named_parameters() if id(q) in local}

        def call(u: Tensor, t: Tensor) -> Tensor:
            state = torch.view_as_complex(u) if self.is_complex else u
            k = torch.func.functional_call(module, weights, (state, p, t))
            return torch.view_as_real(k) if k.is_complex() else k

        return call

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors of `p`, in order."""
        return list(leaves(self._p))

    def with_leaves(self, values: list[Tensor]) -> Callable[[Tensor, Tensor], Any]:
        """`f` as an unchecked function of `(u, t)` with `values` in the place of the tensors of `p`."""
        p = replace_leaves(self._p, values)
        return lambda u, t: self._call(u, p, t)

    @property
    def function(self) -> Callable[..., Any]:
        """The user's `f`."""
        return self._f

    def unchecked(self, u: Tensor, t: Tensor) -> Tensor:
        """`f(u, p, t)` without checks or counting, for use under `torch.func` transforms."""
        return self._call(u, self._p, t)

    def supports_forward_mode(self) -> bool:
        """Whether `f` can be mapped by `torch.vmap` and all parameters are real and can be replaced."""
        if len(self.parameters) > self.n_from_p + self.n_from_module or any(q.is_complex() for q in self.parameters):
            return False
        try:
            with torch.no_grad():
                map_over(self.unchecked, self.u0.unsqueeze(0), self.time(self._tspan[0]).unsqueeze(0))
        except CannotMapError:
            return False
        return True

    # ---- derivatives

    def jacobian(
        self, u: Tensor, t: float, *, create_graph: bool = False, time_derivative: bool = True
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`f`, its Jacobian `∂f/∂u` of shape (N, N) and its time derivative `∂f/∂t` of shape (N,), at `(u, t)`.

        The time derivative is `None` where `f` does not use the time, or where it is not wanted.
        """
        self.njac += 1
        with torch.enable_grad():
            x = u if create_graph and u.requires_grad else u.detach().requires_grad_()
            time = self.time(t).requires_grad_(time_derivative)
            k = self(x, time)
            unit = self.identity.view(self.numel, *self.shape)
            inputs = (x, time) if time_derivative else (x,)
            rows, dfdt = (*batched_vjp(k, inputs, unit, create_graph=create_graph), None)[:2]
        n = self.numel
        jac = torch.zeros(n, n, dtype=self.dtype, device=self.device) if rows is None else rows.reshape(n, n)
        return (k if create_graph else k.detach()), jac, dfdt

    @property
    def identity(self) -> Tensor:
        """The identity matrix of shape (N, N)."""
        if self._eye is None:
            self._eye = torch.eye(self.numel, dtype=self.dtype, device=self.device)
        return self._eye

    def evaluate_with_graph(self, u: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """A leaf with the value of `u`, and `f` of it with the graph between them kept."""
        with torch.enable_grad():
            x = u.detach().requires_grad_()
            return x, self(x, t)

    def vjp(self, k: Tensor, x: Tensor, v: Tensor, *, parameters: bool) -> tuple[Tensor, list[Tensor]]:
        """`vᵀ ∂k/∂x` and, on request, `vᵀ ∂k/∂q` for every parameter q, from the graph of `k`."""
        wanted = [x, *self.parameters] if parameters else [x]
        if not k.requires_grad:
            return torch.zeros_like(x), [torch.zeros_like(q) for q in wanted[1:]]
        grads = torch.autograd.grad(k, wanted, v, retain_graph=True, allow_unused=True)
        dx, *dp = (torch.zeros_like(q) if g is None else g for g, q in zip(grads, wanted, strict=True))
        return dx, dp

    def vjp_of_tangent(
        self, u: Tensor, t: float, v: Tensor, direction: tuple[Tensor, float]
    ) -> tuple[Tensor, list[Tensor]]:
        """`vᵀ ∂d/∂u` and `vᵀ ∂d/∂q` for every parameter q, d being `∂f/∂u g + ∂f/∂t τ` for the direction `(g, τ)`.

        Raises:
            GradientError: `f` cannot be differentiated twice.
        """
        with torch.enable_grad():
            x, time = u.detach().requires_grad_(), self.time(t).requires_grad_()
            slope = directional_derivative(self(x, time), (x, time), v, direction)
        wanted = [x, *self.parameters]
        grads: Sequence[Tensor | None] = [None] * len(wanted)
        # torch marks a derivative that has none by a node that leads nowhere, so it would pass for a constant
        if any(node.name() == "torch::autograd::Error" for node in graph_nodes(slope)):
            raise GradientError(
                "ReverseDiffAdjoint() of a Rosenbrock method differentiates f twice, and f has an operation that is "
                "marked as once differentiable; use GaussAdjoint()."
            )
        if slope.requires_grad:
            try:
                grads = torch.autograd.grad(slope, wanted, allow_unused=True)
            except RuntimeError as error:
                raise GradientError(
                    f"ReverseDiffAdjoint() of a Rosenbrock method differentiates f twice, which failed: {error}; use "
                    "GaussAdjoint()."
                ) from error
        dx, *dp = (torch.zeros_like(q) if g is None else g for g, q in zip(grads, wanted, strict=True))
        return dx, dp


class SourceRightHandSide(RightHandSide):
    """The right-hand side of a `JuliaSource`: parameters to differentiate, and a function that only Julia can call."""

    code: str

    def __init__(self, prob: ODEProblem) -> None:
        super().__init__(prob)
        self.code = prob.f.code if isinstance(prob.f, JuliaSource) else ""

    def _probe(self, t0: float) -> Probe:
        # what the code uses is not known; it is taken to use everything
        return Probe([], uses_state=True, used=frozenset(range(len(self.parameters))))

    @property
    def p(self) -> Any:
        """The nesting of parameters."""
        return self._p


def right_hand_side(prob: ODEProblem) -> RightHandSide:
    """The right-hand side of a problem, of the kind that its `f` is."""
    return SourceRightHandSide(prob) if isinstance(prob.f, JuliaSource) else RightHandSide(prob)


def _captured_tensors(f: Callable[..., Any]) -> list[Tensor]:
    """Those that `f` may read beside its arguments, or none where that cannot be found out."""
    try:
        return Fingerprint(f, arrays=False).tensors
    except Exception:  # objects may do anything when they are looked at
        return []


def _versions(tensors: Iterable[Tensor]) -> dict[int, tuple[Tensor, int]]:
    """Tensors with their versions, which a write in place changes; those of inference mode have none."""
    return {id(q): (q, q._version) for q in tensors if not q.is_inference()}


def _is_modified(entry: tuple[Tensor, int]) -> bool:
    tensor, version = entry
    return tensor._version != version


class _Operands(TorchFunctionMode):
    """Notes the tensors that functions of torch are called with, by their ids."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in ("__get__", "size", "dim", "numel"):  # of which none reads contents
            self.seen |= {id(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        return func(*args, **(kwargs or {}))


def directional_derivative(
    k: Tensor, inputs: tuple[Tensor, ...], v: Tensor, direction: tuple[Tensor | float, ...]
) -> Tensor:
    """`vᵀ (∂k/∂input₁ w₁ + ∂k/∂input₂ w₂ + …)`, 0-d, with a graph.

    By reverse mode alone: `vᵀ ∂k/∂input` is a function of the inputs, too.
    """
    total = v.new_zeros(())
    v = v.detach().requires_grad_()  # else what can be differentiated once only leaves no trace in the graph
    if k.requires_grad:
        pulled = torch.autograd.grad(k, inputs, v, create_graph=True, allow_unused=True)
        for p, w in zip(pulled, direction, strict=True):
            if p is not None:
                total = total + (p * w).sum()
    return total


class CannotMapError(Exception):
    """`torch.vmap` cannot map a function: it branches on values, draws random numbers, or uses an unknown operation."""


def map_over(fn: Callable[..., Any], *arguments: Tensor) -> Any:
    """`torch.vmap(fn)(*arguments)`.

    Raises:
        CannotMapError: with the reason, in one line.
    """
    try:
        return torch.vmap(fn)(*arguments)
    except RuntimeError as error:
        raise CannotMapError(str(error).splitlines()[0]) from error


def batched_vjp(
    output: Tensor, inputs: tuple[Tensor, ...], cotangents: Tensor, *, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """`vᵀ ∂output/∂input` for every row v of `cotangents` and every input; `None` where there is no dependence.

    All rows come from one backward pass that `torch.vmap` batches, where that is possible and pays.
    """
    if not output.requires_grad:
        return (None,) * len(inputs)

    def pull_back(v: Tensor, *, batched: bool) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(
            output,
            inputs,
            v,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=batched,
        )

    if len(cotangents) > SINGLE_PASSES:
        try:
            return pull_back(cotangents, batched=True)
        except RuntimeError:  # an operation that vmap cannot batch: one pass a row gives the same numbers
            pass
    rows = [pull_back(v, batched=False) for v in cotangents.unbind()]
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True))


def _graph_leaves(output: Tensor) -> list[Tensor]:
    """The leaf tensors that require a gradient and that `output` was computed from."""
    if output.is_leaf and output.requires_grad:
        return [output]
    variables = (getattr(node, "variable", None) for node in graph_nodes(output))
    return list({id(variable): variable for variable in variables if variable is not None}.values())


def graph_nodes(output: Tensor) -> Iterator[torch.autograd.graph.Node]:
    """The nodes of the graph that `output` was computed by."""
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack.extend(parent for parent, _ in node.next_functions)
