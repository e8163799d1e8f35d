"""Julia-grade differential equation solvers and adjoints for PyTorch.

>>> import torch, pydiffeqflux as de
>>> prob = de.ODEProblem(lambda u, p, t: p * u, torch.tensor([1.0]), (0.0, 1.0), torch.tensor(-1.0))
>>> de.solve(prob, de.Tsit5(), saveat=0.5).t.tolist()
[0.0, 0.5, 1.0]
"""

from ._algorithms import BS3 as BS3
from ._algorithms import DP5 as DP5
from ._algorithms import RK4 as RK4
from ._algorithms import AbstractAlgorithm as AbstractAlgorithm
from ._algorithms import AutoAlgSwitch as AutoAlgSwitch
from ._algorithms import AutoTsit5 as AutoTsit5
from ._algorithms import AutoVern7 as AutoVern7
from ._algorithms import DefaultODEAlgorithm as DefaultODEAlgorithm
from ._algorithms import Euler as Euler
from ._algorithms import Heun as Heun
from ._algorithms import KenCarp4 as KenCarp4
from ._algorithms import Midpoint as Midpoint
from ._algorithms import RadauIIA5 as RadauIIA5
from ._algorithms import Rodas4 as Rodas4
from ._algorithms import Rodas5P as Rodas5P
from ._algorithms import Rosenbrock23 as Rosenbrock23
from ._algorithms import Tsit5 as Tsit5
from ._algorithms import Vern7 as Vern7
from ._compare import SensealgComparison as SensealgComparison
from ._compare import SensealgResult as SensealgResult
from ._compare import compare_sensealgs as compare_sensealgs
from ._controllers import AbstractController as AbstractController
from ._controllers import IController as IController
from ._controllers import PIController as PIController
from ._controllers import PIDController as PIDController
from ._controllers import PredictiveController as PredictiveController
from ._engines import Stats as Stats
from ._errors import DiffEqError as DiffEqError
from ._errors import EngineUnavailableError as EngineUnavailableError
from ._errors import GradientError as GradientError
from ._errors import GradientWarning as GradientWarning
from ._errors import InvalidOptionError as InvalidOptionError
from ._errors import InvalidProblemError as InvalidProblemError
from ._errors import RightHandSideError as RightHandSideError
from ._errors import SolverError as SolverError
from ._errors import SolveWarning as SolveWarning
from ._errors import UnsupportedError as UnsupportedError
from ._layers import NeuralODE as NeuralODE
from ._problems import ODEProblem as ODEProblem
from ._problems import remake as remake
from ._retcode import ReturnCode as ReturnCode
from ._sensealgs import AbstractSensealg as AbstractSensealg
from ._sensealgs import BacksolveAdjoint as BacksolveAdjoint
from ._sensealgs import ForwardDiffSensitivity as ForwardDiffSensitivity
from ._sensealgs import GaussAdjoint as GaussAdjoint
from ._sensealgs import InterpolatingAdjoint as InterpolatingAdjoint
from ._sensealgs import QuadratureAdjoint as QuadratureAdjoint
from ._sensealgs import ReverseDiffAdjoint as ReverseDiffAdjoint
from ._solution import Solution as Solution
from ._solve import solve as solve

__version__ = "0.1.0"
