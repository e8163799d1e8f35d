"""A look at what the julia engine makes of a right-hand side."""

from ._engines.julia import generated_source
from ._julia_source import JuliaSource
from ._problems import AbstractProblem


def julia_source(prob: AbstractProblem) -> str:
    r"""The Julia code that the julia engine compiles for `prob.f`, without starting Julia.

    It holds three functions, of which a solve compiles those that its algorithm and sensealg need: `f(out, u, p, t, c,
    b)`, and `pull_state(out, λ, u, p, t, c, b)` and `pull_parameters(out, λ, u, p, t, c, b)`, the products of λ with
    the derivatives of `f` as torch's autograd makes them. `u` and `p` are vectors: the state in row-major order, and
    the parameters one after the other, those of `p` before those of a module. `c` are tensors that are constants, `b`
    is scratch memory.

    Arguments:
        prob: the problem; its `u0` and `p` give shapes and dtypes.

    Returns:
        The code, or that of a `JuliaSource` as it is.

    Raises:
        UnsupportedError: `f` cannot be compiled; the message names the operation and the line.

    Engines: julia.

    >>> import torch
    >>> from pydiffeqflux import ODEProblem
    >>> prob = ODEProblem(lambda u, p, t: -p * u.tanh(), torch.ones(3), (0.0, 1.0), torch.ones(3))
    >>> f, pull_state, pull_parameters = julia_source(prob).split("\n\n")
    >>> print(f)
    function f(out, u, p, t, c, b)
        @inbounds begin
            @simd ivdep for i0 in 0:2
                out[1 + i0] = ((-p[1 + i0]) * TorchMath.tanh(u[1 + i0]))
            end
        end
        return nothing
    end
    """
    (f,) = prob.functions.values()
    return f.code if isinstance(f, JuliaSource) else generated_source(prob.prepare(traced=True))
