# From a right-hand side to SciMLBase's problem.

"""
The `ODEFunction` of a right-hand side. `implicit` adds the prototype of the Jacobian, with which the solvers and the
adjoints take the Jacobian that was given.
"""
function ode_function(rhs::RightHandSide{T}, n::Int, implicit::Bool, mass_matrix) where {T}
    derivatives = if rhs.pull_state === nothing && rhs.jacobian === nothing
        (;)
    elseif rhs.jacobian === nothing || !implicit
        (; vjp=Vjp(rhs), vjp_p=VjpP(rhs))
    elseif rhs.pull_state === nothing
        (; jac=Jac(rhs), tgrad=TGrad(rhs), jac_prototype=zeros(T, n, n))
    else
        (; vjp=Vjp(rhs), vjp_p=VjpP(rhs), jac=Jac(rhs), tgrad=TGrad(rhs), jac_prototype=zeros(T, n, n))
    end
    return ODEFunction{true,SciMLBase.FullSpecialize}(rhs; mass_matrix, derivatives...)
end
