"""Delay equations by the method of steps.

`_solve.py` is what a solve of theirs has beside what others have: the solution so far, which `f` reads (`_past.py`),
steps that may read from themselves (`_method_of_steps.py`), the times at which discontinuities of the past are seen
(`_breaking_points.py`), and the gradient that these have (`_moving_breaks.py`).
"""

from ._solve import DelayedSolve as DelayedSolve
