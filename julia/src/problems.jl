# From a right-hand side to SciMLBase's problem.

"""
The `ODEFunction` of a right-hand side; with `implicit` it has the Jacobian, where there is one.

It has no prototype of the Jacobian: of that the adjoints make one of their own that leaves out how the gradient of the
parameters depends on λ, and the solvers then read memory that nobody wrote.
"""
function ode_function(rhs::RightHandSide, implicit::Bool, mass_matrix)
    products = has_products(rhs.functions) ? (; vjp=Vjp(rhs), vjp_p=VjpP(rhs)) : (;)
    jacobian = implicit && rhs.functions.jacobian !== nothing ? (; jac=Jac(rhs), tgrad=TGrad(rhs)) : (;)
    return ODEFunction{true,SciMLBase.FullSpecialize}(rhs; mass_matrix, products..., jacobian...)
end
