"""The workloads in diffrax, everything under one `jax.jit`.

Tolerances and parameters are arguments of the compiled function: a ladder compiles once.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from _problems import Backend, Network, Problem
from _rows import Outcome, Run, Tolerance, training_run

MAX_STEPS = 16_384

ADAM = (0.9, 0.999, 1e-8)


def forward(problem: Problem, solver: str, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve without gradients."""
    jax = _jax()
    compiled = _compiled_forward(problem, solver)
    u0, p, tols = _arguments(problem, tol, dtype)
    return Run(lambda: jax.block_until_ready(compiled(u0, p, tols)), lambda raw: _read(*raw))


def gradient(problem: Problem, solver: str, tol: Tolerance, dtype: str = "float64", *, adjoint: str) -> Run:
    """One solve, its loss and the gradient; `adjoint` is the name of diffrax's class."""
    jax = _jax()
    compiled = _compiled_gradient(problem, solver, adjoint)
    u0, p, tols = _arguments(problem, tol, dtype)

    def read(raw: Any) -> Outcome:
        (_, solution), grads = raw
        outcome = _read(*solution)
        outcome.gradient = np.concatenate([np.asarray(g, dtype=float).reshape(-1) for g in jax.tree.leaves(grads)])
        return outcome

    return Run(lambda: jax.block_until_ready(compiled(p, u0, tols)), read)


def training(problem: Problem, solver: str, tol: Tolerance, steps: int, rate: float, *, adjoint: str) -> Run:
    """A training run; one step of Adam is compiled as a whole."""
    jax = _jax()
    value_and_grad = _value_and_grad(problem, solver, adjoint)
    u0, p0, tols = _arguments(problem, tol, "float64")
    beta1, beta2, epsilon = ADAM

    @jax.jit
    def update(state: Any) -> Any:
        p, m, v, i = state
        (loss, _), g = value_and_grad(p, u0, tols)
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
        scale1, scale2 = 1 - beta1**i, 1 - beta2**i
        p = jax.tree.map(lambda p, m, v: p - rate * (m / scale1) / (jax.numpy.sqrt(v / scale2) + epsilon), p, m, v)
        return loss, (p, m, v, i + 1)

    def make_step() -> Callable[[], float]:
        zeros = jax.tree.map(jax.numpy.zeros_like, p0)
        state = (p0, zeros, zeros, 1.0)

        def step() -> float:
            nonlocal state
            loss, state = update(state)
            return float(loss)

        return step

    return training_run(make_step, steps)


def _jax() -> Any:
    return importlib.import_module("jax")


def _solution(problem: Problem, solver: str, adjoint: str) -> Callable[[Any, Any, Any], Any]:
    """`(u0, p, tolerances) -> (saved states, statistics, success)`."""
    dfx: Any = importlib.import_module("diffrax")
    f = _rhs(problem)
    term = dfx.ODETerm(lambda t, u, p: f(u, p))

    def solve(u0: Any, p: Any, tols: Any) -> Any:
        sol = dfx.diffeqsolve(
            term,
            getattr(dfx, solver)(),
            t0=problem.tspan[0],
            t1=problem.tspan[1],
            dt0=None,
            y0=u0,
            args=p,
            saveat=dfx.SaveAt(ts=problem.saveat),
            stepsize_controller=dfx.PIDController(rtol=tols[0], atol=tols[1]),
            adjoint=getattr(dfx, adjoint)(),
            max_steps=MAX_STEPS,
            throw=False,
        )
        stats = {name: sol.stats[name] for name in ("num_accepted_steps", "num_rejected_steps")}
        return sol.ys, stats, sol.result == dfx.RESULTS.successful

    return solve


@cache
def _compiled_forward(problem: Problem, solver: str) -> Any:
    return _jax().jit(_solution(problem, solver, "RecursiveCheckpointAdjoint"))


@cache
def _compiled_gradient(problem: Problem, solver: str, adjoint: str) -> Any:
    return _jax().jit(_value_and_grad(problem, solver, adjoint))


def _value_and_grad(problem: Problem, solver: str, adjoint: str) -> Any:
    solve = _solution(problem, solver, adjoint)

    def loss(p: Any, u0: Any, tols: Any) -> Any:
        solution = solve(u0, p, tols)
        return problem.loss(solution[0]), solution

    return _jax().value_and_grad(loss, has_aux=True)


def _rhs(problem: Problem) -> Callable[[Any, Any], Any]:
    jax = _jax()
    system = problem.system
    if not isinstance(system, Network):
        backend = Backend(jax.numpy.stack, jax.numpy.roll)
        return lambda u, p: system(backend, u, p)
    activations = {"softplus": jax.nn.softplus, "tanh": jax.numpy.tanh, "": lambda x: x}

    def network(u: Any, weights: Any) -> Any:
        x = u**3 if system.cubed else u
        for (weight, bias), activation in zip(weights, system.activations, strict=True):
            x = activations[activation](x @ weight.T + bias)
        return x

    return network


def _arguments(problem: Problem, tol: Tolerance, dtype: str) -> tuple[Any, Any, Any]:
    jax = _jax()
    system = problem.system
    constants = system.layers if isinstance(system, Network) else problem.p
    u0, p = jax.tree.map(lambda x: jax.numpy.asarray(x, dtype=dtype), (problem.u0, constants))
    return u0, p, (jax.numpy.asarray(tol.rtol), jax.numpy.asarray(tol.atol))


def _read(us: Any, stats: Any, success: Any) -> Outcome:
    accepted, rejected = int(stats["num_accepted_steps"]), int(stats["num_rejected_steps"])
    return Outcome(
        us=np.asarray(us),
        accepted=accepted,
        rejected=rejected,
        failure="" if bool(success) else f"no success after {accepted + rejected} steps",
    )
