"""The problems, written once for torch, numpy and JAX.

Right-hand sides are written as one writes them in either library: unpack the state, compute, stack. `Backend` holds the
two functions whose names differ. All problems are autonomous.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Backend:
    """What a right-hand side needs of an array library.

    Attributes:
        stack: makes one array of a tuple of scalars or arrays.
        roll: `roll(x, shift, axis)`, periodic.
    """

    stack: Callable[[Any], Any]
    roll: Callable[[Any, int, int], Any]


NUMPY = Backend(np.array, np.roll)

Equations = Callable[[Backend, Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Network:
    """A network as a right-hand side: linear layers with activations between them.

    Attributes:
        layers: `(weight, bias)` of each layer, `weight` of shape (out, in).
        activations: the activation after each layer: `"softplus"`, `"tanh"` or `""`.
        cubed: whether the network sees u**3 in the place of u.
    """

    layers: tuple[tuple[Array, Array], ...]
    activations: tuple[str, ...]
    cubed: bool = False


@dataclass(frozen=True, eq=False)
class Problem:
    """An initial value problem, with a loss where gradients are wanted.

    Attributes:
        name: a heading.
        key: a file name.
        system: the equations `f(backend, u, p)`, or a network.
        u0, p: initial state and constants. `p` is what gradients are taken of, the network's weights if it is one.
        tspan: start and end.
        saveat: the times at which everybody reports the solution.
        stiff: whether the problem is.
        loss: a scalar from the saved states, in operators that all array libraries have.
    """

    name: str
    key: str
    system: Equations | Network
    u0: Array
    tspan: tuple[float, float]
    saveat: Array
    p: Array = field(default_factory=lambda: np.zeros(0))
    stiff: bool = False
    loss: Callable[[Any], Any] = lambda us: us.sum()

    @property
    def max_steps(self) -> int:
        """Steps after which solves that run in Python are given up, to bound the time of a run.

        diffrax gets `_diffrax.MAX_STEPS`, the julia engine keeps this package's own limit, SciPy has no such option.
        """
        return 5_000 if self.stiff else 20_000


def squared_distance_to_one(us: Any) -> Any:
    """The loss of Ma et al. 2021: Σ (1 - u)² / 2 over save points and components."""
    return ((1 - us) ** 2).sum() / 2


# ---- equations


def lorenz_equations(backend: Backend, u: Any, p: Any) -> Any:
    x, y, z = u
    sigma, rho, beta = p
    return backend.stack((sigma * (y - x), x * (rho - z) - y, x * y - beta * z))


def lotka_volterra_equations(backend: Backend, u: Any, p: Any) -> Any:
    x, y = u
    a, b, c = p
    return backend.stack((a * x - b * x * y, -c * y + x * y))


def robertson_equations(backend: Backend, u: Any, p: Any) -> Any:
    y1, y2, y3 = u
    k1, k2, k3 = p
    slow, fast, back = k1 * y1, k2 * y2 * y2, k3 * y2 * y3
    return backend.stack((back - slow, slow - fast - back, fast))


def hires_equations(backend: Backend, u: Any, p: Any) -> Any:
    y1, y2, y3, y4, y5, y6, y7, y8 = u
    bound = p[0] * y6 * y8
    return backend.stack(
        (
            -1.71 * y1 + 0.43 * y2 + 8.32 * y3 + 0.0007,
            1.71 * y1 - 8.75 * y2,
            -10.03 * y3 + 0.43 * y4 + 0.035 * y5,
            8.32 * y2 + 1.71 * y3 - 1.12 * y4,
            -1.745 * y5 + 0.43 * y6 + 0.43 * y7,
            -bound + 0.69 * y4 + 1.71 * y5 - 0.43 * y6 + 0.69 * y7,
            bound - 1.81 * y7,
            -bound + 1.81 * y7,
        )
    )


def van_der_pol_equations(backend: Backend, u: Any, p: Any) -> Any:
    y, x = u
    return backend.stack((p[0] * ((1 - x * x) * y - x), y))


def pollution_equations(backend: Backend, u: Any, p: Any) -> Any:
    """POLLU, Verwer 1994: 25 reactions of 20 species."""
    y1, y2, y3, y4, y5, y6, y7, _, y9, y10, y11, _, y13, y14, _, y16, y17, _, y19, y20 = u
    k = p
    r1, r2, r3, r4, r5 = k[0] * y1, k[1] * y2 * y4, k[2] * y5 * y2, k[3] * y7, k[4] * y7
    r6, r7, r8, r9, r10 = k[5] * y7 * y6, k[6] * y9, k[7] * y9 * y6, k[8] * y11 * y2, k[9] * y11 * y1
    r11, r12, r13, r14, r15 = k[10] * y13, k[11] * y10 * y2, k[12] * y14, k[13] * y1 * y6, k[14] * y3
    r16, r17, r18, r19, r20 = k[15] * y4, k[16] * y4, k[17] * y16, k[18] * y16, k[19] * y17 * y6
    r21, r22, r23, r24, r25 = k[20] * y19, k[21] * y19, k[22] * y1 * y4, k[23] * y19 * y1, k[24] * y20
    return backend.stack(
        (
            -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25,
            -r2 - r3 - r9 - r12 + r1 + r21,
            -r15 + r1 + r17 + r19 + r22,
            -r2 - r16 - r17 - r23 + r15,
            -r3 + 2 * r4 + r6 + r7 + r13 + r20,
            -r6 - r8 - r14 - r20 + r3 + 2 * r18,
            -r4 - r5 - r6 + r13,
            r4 + r5 + r6 + r7,
            -r7 - r8,
            -r12 + r7 + r9,
            -r9 - r10 + r8 + r11,
            r9,
            -r11 + r10,
            -r13 + r12,
            r14,
            -r18 - r19 + r16,
            -r20,
            r20,
            -r21 - r22 - r24 + r23 + r25,
            -r25 + r24,
        )
    )


BRUSSELATOR_CELLS = 5


def brusselator_equations(backend: Backend, u: Any, p: Any) -> Any:
    """The periodic 2-D Brusselator on [0, 1]², 5 x 5 cells; p holds A, B, α of u and α of v in every cell.

    The usual forcing term acts on cells within 0.1 of (0.3, 0.6). A grid of 5 x 5 has none there.
    """
    x, y = u
    A, B, alpha_x, alpha_y = p.reshape(4, BRUSSELATOR_CELLS, BRUSSELATOR_CELLS)
    scale = (BRUSSELATOR_CELLS - 1) ** 2

    def laplacian(v: Any) -> Any:
        neighbours = backend.roll(v, 1, 0) + backend.roll(v, -1, 0) + backend.roll(v, 1, 1) + backend.roll(v, -1, 1)
        return scale * (neighbours - 4 * v)

    reaction = x * x * y
    return backend.stack(
        (
            alpha_x * laplacian(x) + B + reaction - (A + 1) * x,
            alpha_y * laplacian(y) + A * x - reaction,
        )
    )


# ---- problems


def lorenz() -> Problem:
    """Lorenz 1963, its usual constants."""
    times = np.linspace(0.0, 20.0, 41)
    p = np.array([10.0, 28.0, 8 / 3])
    return Problem("Lorenz, 0 to 20", "lorenz", lorenz_equations, np.array([1.0, 0.0, 0.0]), (0.0, 20.0), times, p)


def lotka_volterra() -> Problem:
    """Lotka-Volterra as in Ma et al. 2021."""
    return Problem(
        "Lotka-Volterra, 0 to 10",
        "lotka_volterra",
        lotka_volterra_equations,
        np.array([1.0, 1.0]),
        (0.0, 10.0),
        np.linspace(0.0, 10.0, 21),
        np.array([1.5, 1.0, 3.0]),
        loss=squared_distance_to_one,
    )


def robertson() -> Problem:
    """Robertson's reactions (ROBER)."""
    return Problem(
        "ROBER, 0 to 1e5",
        "robertson",
        robertson_equations,
        np.array([1.0, 0.0, 0.0]),
        (0.0, 1e5),
        np.concatenate(([0.0], 10.0 ** np.arange(-5.0, 5.5, 0.5))),
        np.array([0.04, 3e7, 1e4]),
        stiff=True,
    )


def hires() -> Problem:
    """High irradiance responses, Schäfer 1975."""
    u0 = np.zeros(8)
    u0[0], u0[7] = 1.0, 0.0057
    end = 321.8122
    times = np.linspace(0.0, end, 41)
    return Problem("HIRES, 0 to 321.8", "hires", hires_equations, u0, (0.0, end), times, np.array([280.0]), stiff=True)


def van_der_pol() -> Problem:
    """Van der Pol's oscillator with time scaled so that μ multiplies the whole equation; state (y, x), x' = y."""
    return Problem(
        "Van der Pol, μ = 1e6, 0 to 6.3",
        "van_der_pol",
        van_der_pol_equations,
        np.array([1.0, 1.0]),
        (0.0, 6.3),
        np.linspace(0.0, 6.3, 64),
        np.array([1e6]),
        stiff=True,
    )


def pollution() -> Problem:
    """POLLU with the constants of its test set."""
    u0 = np.zeros(20)
    u0[[1, 3, 6, 7, 8, 16]] = 0.2, 0.04, 0.1, 0.3, 0.01, 0.007
    p = [0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88]
    p += [1.63e4, 4.8e6, 3.5e-4, 0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474, 1780.0, 3.12]
    return Problem(
        "POLLU, 0 to 60",
        "pollution",
        pollution_equations,
        u0,
        (0.0, 60.0),
        np.linspace(0.0, 60.0, 121),
        np.array(p),
        stiff=True,
        loss=squared_distance_to_one,
    )


def brusselator() -> Problem:
    """The 2-D Brusselator, 50 states and 100 parameters."""
    n = BRUSSELATOR_CELLS
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    u0 = np.stack((22 * (y * (1 - y)) ** 1.5, 27 * (x * (1 - x)) ** 1.5))
    return Problem(
        "Brusselator 5 x 5, 0 to 10",
        "brusselator",
        brusselator_equations,
        u0,
        (0.0, 10.0),
        np.linspace(0.0, 10.0, 101),
        np.repeat([3.4, 1.0, 10.0, 10.0], n * n),
        stiff=True,
        loss=squared_distance_to_one,
    )


def small_neural_ode(t1: float, *, saves: int) -> Problem:
    """The network of diffrax's `benchmarks/small_neural_ode.py`: 4-32-4, softplus and tanh, batch 64, loss Σ u.

    Numbers are rounded to float32, so that runs in both precisions solve the same problem.
    """
    rng = np.random.default_rng(0)
    network = Network((_layer(rng, 4, 32), _layer(rng, 32, 4)), ("softplus", "tanh"))
    u0 = _rounded(rng.standard_normal((64, 4)))
    times = np.array([0.0, t1]) if saves == 2 else _rounded(np.linspace(0.0, t1, saves))
    what = "endpoint" if saves == 2 else f"{saves} saves"
    return Problem(f"0 to {t1:g}, {what}", f"small_neural_ode_{t1:g}_{saves}", network, u0, (0.0, t1), times)


SPIRAL = np.array([[-0.1, 2.0], [-2.0, -0.1]])


def spiral_truth() -> Problem:
    """The spiral y' = (y³) A of torchdiffeq's `ode_demo.py`."""

    def equations(backend: Backend, u: Any, p: Any) -> Any:
        x, y = u
        a, b, c, d = p
        return backend.stack((a * x**3 + c * y**3, b * x**3 + d * y**3))

    times = np.linspace(0.0, 1.5, 30)
    return Problem("spiral", "spiral_truth", equations, np.array([2.0, 0.0]), (0.0, 1.5), times, SPIRAL.reshape(-1))


def spiral_network(data: Array) -> Problem:
    """A network on y³, 2-50-2 with tanh, Glorot's initial weights, to be fitted to the spiral by least squares."""
    rng = np.random.default_rng(0)
    network = Network((_glorot(rng, 2, 50), _glorot(rng, 50, 2)), ("tanh", ""), cubed=True)
    times = np.linspace(0.0, 1.5, 30)

    def loss(us: Any) -> Any:
        target = data if isinstance(us, np.ndarray) else _like(data, us)
        return ((us - target) ** 2).sum()

    return Problem("spiral", "spiral_network", network, np.array([2.0, 0.0]), (0.0, 1.5), times, loss=loss)


def _like(data: Array, us: Any) -> Any:
    """`data` as an array of the library of `us`: torch has `new_tensor`, JAX computes with numpy arrays."""
    return us.new_tensor(data) if hasattr(us, "new_tensor") else data


def _layer(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Array, Array]:
    bound = fan_in**-0.5
    return _rounded(rng.uniform(-bound, bound, (fan_out, fan_in))), _rounded(rng.uniform(-bound, bound, fan_out))


def _glorot(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Array, Array]:
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return rng.uniform(-bound, bound, (fan_out, fan_in)), np.zeros(fan_out)


def _rounded(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)
