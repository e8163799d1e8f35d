"""Gradients of solutions, one module per idea.

`_strategies.py` says what is done for every sensealg. `_discrete.py` differentiates the steps themselves
(ReverseDiffAdjoint, ForwardDiffSensitivity); `_continuous.py` solves the adjoint ODE (Backsolve-, Interpolating-,
Gauss- and QuadratureAdjoint) with the right-hand sides of `_adjoint_rhs.py` and the quadratures of
`_parameter_quadrature.py`.
"""

from ..._strategy import Kept as Kept
from ._discrete import can_go_forward as can_go_forward
from ._discrete import is_taped as is_taped
from ._strategies import STRATEGIES as STRATEGIES
from ._strategies import Strategy as Strategy
from ._strategies import strategy_of as strategy_of
