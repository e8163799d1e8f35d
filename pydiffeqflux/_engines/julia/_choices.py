"""Algorithms, controllers and sensealgs as handles of Julia objects, each made once."""

from dataclasses import fields
from numbers import Real
from typing import Any

from ... import _algorithms as algs
from ..._controllers import AbstractController, IController, PIController, PIDController, PredictiveController
from ..._errors import UnsupportedError
from ..._sensealgs import AbstractSensealg
from ._bridge import Bridge
from ._discrete import discrete_adjoint


class Choices:
    """What the user chose, as Julia objects. Choices are frozen dataclasses, so equal ones share an object."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._made: dict[Any, int] = {}

    def algorithm(self, alg: algs.AbstractAlgorithm, *, finite_differences: bool) -> int:
        """Handle of an algorithm; with `finite_differences` it does not use Julia's AD for Jacobians."""
        key = (alg, finite_differences)
        if key not in self._made:
            self._made[key] = self._make_algorithm(alg, finite_differences)
        return self._made[key]

    def _make_algorithm(self, alg: algs.AbstractAlgorithm, finite_differences: bool) -> int:
        call = self._bridge.call
        if isinstance(alg, algs.AutoAlgSwitch):
            parts = (self.algorithm(part, finite_differences=finite_differences) for part in alg.methods)
            names = ("maxstiffstep", "maxnonstiffstep", "nonstifftol", "stifftol", "dtfac")
            return call("switching_algorithm", *parts, self._options({name: getattr(alg, name) for name in names}))
        if isinstance(alg, algs.JuliaAlgorithm):
            options = self._options(dict(alg.options))
            return call("algorithm", alg.name, alg.package or "", options, finite_differences)
        if isinstance(alg, algs.AbstractStochasticAlgorithm):
            options = self._options({option.name: getattr(alg, option.name) for option in fields(alg)})
            return call("stochastic_algorithm", type(alg).__name__, options, finite_differences)
        return call("algorithm", type(alg).__name__, "", self._options({}), finite_differences)

    def _options(self, options: dict[str, Any]) -> int:
        call = self._bridge.call
        number = call("options")
        for name, value in options.items():
            if isinstance(value, algs.JuliaAlgorithm):
                made = call("object", value.name, value.package or "", self._options(dict(value.options)))
                call("set_object_option", number, name, made)
            elif isinstance(value, str):
                call("set_symbol_option", number, name, value)
            else:
                plain = value if value is None or isinstance(value, bool | int) else float(value)
                call("set_option", number, name, plain)
        return number

    def is_implicit(self, alg: int) -> bool:
        """Whether the algorithm behind a handle takes Jacobians."""
        key = ("implicit", alg)
        if key not in self._made:
            self._made[key] = int(self._bridge.call("takes_jacobian", alg))
        return bool(self._made[key])

    def controller(self, controller: AbstractController | None, alg: int) -> int:
        """Handle of a controller for the algorithm of that handle, 0 for the algorithm's own."""
        if controller is None:
            return 0
        key = (controller, alg)
        if key not in self._made:
            names = ("gamma", "qmin", "qmax", *(("accept_safety",) if isinstance(controller, PIDController) else ()))
            options = {name: getattr(controller, name) for name in names}
            self._made[key] = self._bridge.call(
                "controller", type(controller).__name__, _betas(controller), alg, self._options(options)
            )
        return self._made[key]

    def discrete_adjoint(self, alg: algs.AbstractAlgorithm) -> int:
        """Handle of reverse mode through the steps of an algorithm, for torch functions."""
        key = ("discrete adjoint", alg)
        if key not in self._made:
            self._made[key] = discrete_adjoint(self._bridge, alg)
        return self._made[key]

    def sensealg(self, sensealg: AbstractSensealg, autojacvec: str, options: dict[str, Any]) -> int:
        """Handle of a sensealg; `autojacvec` is the name of its products in Julia's table, "" where it takes none."""
        key = (sensealg, autojacvec)
        if key not in self._made:
            name = type(sensealg).__name__
            self._made[key] = self._bridge.call("sensealg", name, autojacvec, self._options(options))
        return self._made[key]


def _betas(controller: AbstractController) -> str:
    match controller:
        case PIController():
            betas: tuple[Real | float | None, ...] = (controller.beta1, controller.beta2)
        case PIDController():
            betas = (controller.beta1, controller.beta2, controller.beta3)
        case IController() | PredictiveController():
            betas = ()
        case _:
            raise UnsupportedError(f"the julia engine has no {controller!r}.")
    return ",".join("nothing" if beta is None else repr(float(beta)) for beta in betas)
