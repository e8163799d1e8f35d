"""Noise: Brownian paths, and how their increments enter an equation.

`_random.py` are normal numbers by key, `_cells.py` the cells of a fixed grid, each with an increment and an area,
`_bridge.py` what happens within a cell, and `_path.py` the path that all of these make up.
"""

from ._layout import NoiseKind as NoiseKind
from ._layout import NoiseLayout as NoiseLayout
from ._path import BrownianPath as BrownianPath
