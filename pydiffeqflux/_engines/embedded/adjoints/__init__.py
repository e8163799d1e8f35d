"""Gradients of solutions, one module per idea.

`_discrete.py` differentiates the steps themselves (ReverseDiffAdjoint, ForwardDiffSensitivity); `_continuous.py` solves
the adjoint ODE (Backsolve-, Interpolating-, Gauss- and QuadratureAdjoint) with the right-hand sides of
`_adjoint_rhs.py` and the quadratures of `_parameter_quadrature.py`.
"""
