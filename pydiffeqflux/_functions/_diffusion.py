"""The diffusion of a stochastic equation: a checked function whose output says what kind of noise there is."""

from functools import cached_property
from typing import Any

from torch import Tensor

from .._noise import NoiseLayout
from ._checked_function import CheckedFunction, moved


class Diffusion(CheckedFunction):
    """`g(u, p, t)` of a stochastic differential equation.

    Attributes:
        layout: the kind of its noise, known after the first evaluation.
    """

    name = "g"
    _layout: NoiseLayout | None = None

    def __init__(self, *arguments: Any, **found: Any) -> None:
        super().__init__(*arguments, **found)
        self.output_shape = None  # whatever the first one has

    @property
    def layout(self) -> NoiseLayout:
        """How the noise enters."""
        assert self._layout is not None
        return self._layout

    def find_layout(self) -> None:
        """Evaluate `g` once, to see what it returns.

        Raises:
            RightHandSideError: `g` returned something that cannot multiply noise.
        """
        if self._layout is None:
            self(self.u0.clone(), self.tspan[0])

    @cached_property
    def depends_on_state(self) -> bool:
        """Whether the noise is not additive: other states, close and far, give other values at one of three times."""
        return any(self._differs(self._call, state) for state in (moved(self.u0), 2.0 * self.u0 + 1.0))

    def _judge_output(self, k: Tensor) -> None:
        layout = None
        if self.output_shape is None and k.dtype == self.dtype and k.device == self.device:
            layout = NoiseLayout.of(self.shape, k.shape)
        if layout is None:
            shape = ", ".join((*map(str, self.shape), "m"))
            self._refuse_output(
                k,
                f"a tensor of the shape of u (one motion for each of its elements) or of shape ({shape}) (m motions, "
                "for every row of a batch its own), each time the same, in the dtype and on the device of u",
            )
        self._layout, self.output_shape = layout, k.shape
