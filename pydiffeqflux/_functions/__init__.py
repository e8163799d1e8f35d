"""The functions of a problem: what they read, how they are evaluated, their derivatives.

`_nesting.py` are nestings of tensors, `_parameters.py` the one list of what is differentiated with respect to,
`_tracing.py` finds out what a function computes and reads (`_pure.py`), `_evaluation.py` calls it,
`_checked_function.py` checks what it returns, `_right_hand_side.py`, `_diffusion.py` and `_delayed.py` (with
`_history.py`) are what equations are made of, and `_prepare.py` makes those of a problem.
"""

from ._checked_function import CheckedFunction as CheckedFunction
from ._consistent_start import start_consistently as start_consistently
from ._delayed import Delayed as Delayed
from ._delayed import Lags as Lags
from ._derivatives import CannotMapError as CannotMapError
from ._derivatives import batched_vjp as batched_vjp
from ._derivatives import directional_derivative as directional_derivative
from ._derivatives import graph_nodes as graph_nodes
from ._derivatives import map_over as map_over
from ._diffusion import Diffusion as Diffusion
from ._history import SampledHistory as SampledHistory
from ._history import as_history as as_history
from ._lines import innermost_line as innermost_line
from ._nesting import leaves as leaves
from ._nesting import map_leaves as map_leaves
from ._nesting import replace_leaves as replace_leaves
from ._prepare import prepare_delayed as prepare_delayed
from ._prepare import prepare_implicit as prepare_implicit
from ._prepare import prepare_right_hand_side as prepare_right_hand_side
from ._pure import PureFunction as PureFunction
from ._pure import Snapshot as Snapshot
from ._right_hand_side import RightHandSide as RightHandSide
from ._source_right_hand_side import SourceRightHandSide as SourceRightHandSide
from ._tracing import Refusal as Refusal
