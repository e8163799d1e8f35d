"""The embedded engine: pure PyTorch, for machines without Julia.

`_integrator.py` is the one adaptive loop. A method is a tableau and one of three kinds of step: `_explicit_rk.py`,
`_rosenbrock.py`, `_esdirk.py`. `adjoints/` has the gradients.
"""

from ._engine import EmbeddedEngine as EmbeddedEngine
