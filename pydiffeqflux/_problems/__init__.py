"""What is to be solved: one module a kind of equation, and the checks that they share."""

from ._base import AbstractProblem as AbstractProblem
from ._checks import refuse_transforms as refuse_transforms
from ._dae import DAEProblem as DAEProblem
from ._dde import DDEProblem as DDEProblem
from ._ode import ODEProblem as ODEProblem
from ._remake import remake as remake
from ._sde import SDEProblem as SDEProblem
