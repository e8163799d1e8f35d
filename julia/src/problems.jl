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

"The problem that the solvers get, with the arguments of a solve: one method for each kind of equation."
function problem(rhs::RightHandSide{T}, a) where {T}
    mass_matrix = a.mass_matrix == 0 ? I : permutedims(wrap(T, a.mass_matrix, a.n, a.n))
    f = ode_function(rhs, a.implicit == 1, mass_matrix)
    return ODEProblem{true}(f, wrap(T, a.u0, a.n), (a.t0, a.t1), rhs.p)
end

function problem(rhs::RightHandSide{T}, g::Diffusion{T}, noise::PathNoise{T}, a) where {T}
    jacobian = a.implicit == 1 && rhs.functions.jacobian !== nothing ? (; jac=Jac(rhs), tgrad=TGrad(rhs)) : (;)
    f = SDEFunction{true,SciMLBase.FullSpecialize}(rhs, g; jacobian...)
    noise_rate_prototype = prototype(g, Int(a.n))
    return SDEProblem{true}(f, wrap(T, a.u0, a.n), (a.t0, a.t1), rhs.p; noise, noise_rate_prototype)
end
