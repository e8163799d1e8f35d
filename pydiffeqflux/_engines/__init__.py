"""The engines: what carries out solves and adjoints."""

from ._base import AbstractEngine as AbstractEngine
from ._base import RawSolution as RawSolution
from ._base import SolveSpec as SolveSpec
from ._base import Stats as Stats
from ._select import EngineName as EngineName
from ._select import select_engine as select_engine
