# From a right-hand side to SciMLBase's problem.

"""
The `ODEFunction` of a right-hand side. `implicit` adds the prototype of the Jacobian, with which the solvers and the
adjoints take the Jacobian that was given.
"""
function ode_function(rhs::RightHandSide{T}, n::Int, implicit::Bool, mass_matrix) where {T}
    products = rhs.functions.pull_state === nothing ? (;) : (; vjp=Vjp(rhs), vjp_p=VjpP(rhs))
    jacobian = if implicit && rhs.functions.jacobian !== nothing
        (; jac=Jac(rhs), tgrad=TGrad(rhs), jac_prototype=zeros(T, n, n))
    else
        (;)
    end
    return ODEFunction{true,SciMLBase.FullSpecialize}(rhs; mass_matrix, products..., jacobian...)
end
