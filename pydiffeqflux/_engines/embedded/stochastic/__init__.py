"""Steps of methods for stochastic equations.

`_method.py` is what they have in common: where the noise comes from, and how it is kept for a gradient.
"""

from ._make import make_stochastic_method as make_stochastic_method
from ._method import StochasticMethod as StochasticMethod
from ._reversible_heun import ReversibleHeun as ReversibleHeun
