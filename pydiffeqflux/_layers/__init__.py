"""Layers for networks: modules whose forward pass solves a differential equation."""

from ._ffjord import FFJORD as FFJORD
from ._ffjord import FlowResult as FlowResult
from ._neural_dae import NeuralDAE as NeuralDAE
from ._neural_dae import NeuralODEMM as NeuralODEMM
from ._neural_dde import NeuralCDDE as NeuralCDDE
from ._neural_ode import NeuralODE as NeuralODE
from ._neural_sde import NeuralDSDE as NeuralDSDE
from ._neural_sde import NeuralSDE as NeuralSDE
from ._tangents import ConcatSquashLinear as ConcatSquashLinear
from ._tangents import TimeSequential as TimeSequential
