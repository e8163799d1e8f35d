"""DifferentialEquations.jl and SciMLSensitivity.jl through juliacall."""

from ._compiled import generated_source as generated_source
from ._engine import JuliaEngine as JuliaEngine
from ._installation import Installation as Installation
from ._installation import find_installation as find_installation
