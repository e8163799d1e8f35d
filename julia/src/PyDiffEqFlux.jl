"""
The Julia half of the Python package pydiffeqflux.

Python calls [`solve`](@ref), [`evaluate`](@ref) and [`adjoint`](@ref) with the address of a struct of plain numbers and
pointers, and gets numbers and pointers back, so that no array is copied and no Python object is ever touched here. What
must live longer than one call is held in a table of handles.
"""
module PyDiffEqFlux

using ADTypes: AutoFiniteDiff
using FunctionWrappers: FunctionWrapper
using LinearAlgebra: LinearAlgebra, I
using Logging: Logging
using PrecompileTools: @compile_workload, @setup_workload
using SciMLBase: SciMLBase, ODEFunction, ODEProblem, SDEFunction, SDEProblem
using SciMLLogging: SciMLLogging
using SciMLSensitivity: SciMLSensitivity

import ChainRulesCore
import ForwardDiff
import OrdinaryDiffEq
import OrdinaryDiffEqAdamsBashforthMoulton
import OrdinaryDiffEqBDF
import OrdinaryDiffEqCore
import OrdinaryDiffEqDefault
import OrdinaryDiffEqFIRK
import OrdinaryDiffEqHighOrderRK
import OrdinaryDiffEqLowOrderRK
import OrdinaryDiffEqRosenbrock
import OrdinaryDiffEqSDIRK
import OrdinaryDiffEqSSPRK
import OrdinaryDiffEqStabilizedRK
import OrdinaryDiffEqTsit5
import OrdinaryDiffEqVerner
import ReverseDiff
import Tracker
import Zygote

include("handles.jl")
include("sides.jl")
include("right_hand_side.jl")
include("c_callbacks.jl")
include("forward_mode.jl")
include("julia_source.jl")
include("torch_math.jl")
include("compiled.jl")
include("options.jl")
include("on_demand.jl")
include("algorithms.jl")
include("sensealgs.jl")
include("noise.jl")
include("diffusion.jl")
include("problems.jl")
include("tolerances.jl")
include("solutions.jl")
include("adjoints.jl")
include("layouts.jl")
include("step_methods.jl")
include("discrete_adjoint.jl")
include("stochastic_adjoint.jl")
include("precompile.jl")

end
