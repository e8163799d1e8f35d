import numpy as np
import pytest
import torch
from problems import tensor

import pydiffeqflux as de

GRID = np.linspace(0.0, 10.0, 11)
VALUES = np.sin(GRID)
STIFF = [de.Rosenbrock23(), de.Rodas4(), de.Rodas5P(), de.KenCarp4(), de.RadauIIA5(), None]


def forced(table):
    return lambda u, p, t: -0.5 * u + table(t)


def in_torch(t):
    grid, values = torch.tensor(GRID), torch.tensor(VALUES)
    i = (torch.searchsorted(grid, t) - 1).clamp(0, 9)
    return values[i] + (values[i + 1] - values[i]) * (t - grid[i])


TABLES = {
    "np.interp(t)": lambda t: float(np.interp(t, GRID, VALUES)),
    "np.interp(t.item())": lambda t: float(np.interp(t.item(), GRID, VALUES)),
    "half seen": lambda t: 0.1 * t + float(np.interp(t.item(), GRID, VALUES)),
    "seen late": lambda t: float(np.interp(t.item(), GRID, VALUES)) if t > 1.0 else 0.0,
}
SEEN = {
    "np.interp(t)": in_torch,
    "np.interp(t.item())": in_torch,
    "half seen": lambda t: 0.1 * t + in_torch(t),
    "seen late": lambda t: torch.where(t > 1.0, in_torch(t), 0.0),
}


@pytest.mark.parametrize("alg", STIFF, ids=repr)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_numpy_costs_no_more_steps_than_one_in_torch(name, alg):
    solutions = []
    for table in (TABLES[name], SEEN[name]):
        prob = de.ODEProblem(forced(table), tensor([1.0]), (0.0, 10.0))
        with torch.no_grad():
            solutions.append(de.solve(prob, alg, saveat=[10.0], abstol=1e-5, reltol=1e-5).raise_for_status())
    one, other = solutions
    assert abs(one.u.item() - other.u.item()) < 1e-3
    # At worst half of all steps are made before what autograd does not see is noticed.
    assert one.stats.naccept + one.stats.nreject <= 2 * (other.stats.naccept + other.stats.nreject)


@pytest.mark.parametrize("sensealg", [de.ReverseDiffAdjoint(), de.GaussAdjoint(), de.BacksolveAdjoint()], ids=repr)
@pytest.mark.parametrize("name", ["np.interp(t)", "np.interp(t.item())"])
def test_gradients_with_a_table_in_numpy(name, sensealg):
    gradients = []
    for table in (TABLES[name], SEEN[name]):
        p = tensor([0.5], grad=True)
        prob = de.ODEProblem(lambda u, p, t, table=table: -p * u + table(t), tensor([1.0]), (0.0, 10.0), p)
        sol = de.solve(prob, de.Rodas5P(), saveat=[10.0], sensealg=sensealg, abstol=1e-8, reltol=1e-8, tstops=GRID)
        gradients.append(torch.autograd.grad(sol.u.sum(), p)[0].item())
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-5)


@pytest.mark.parametrize("alg", STIFF[:-1], ids=repr)
def test_a_state_in_numpy_is_refused_in_one_sentence(alg):
    prob = de.ODEProblem(lambda u, p, t: torch.from_numpy(-np.asarray(u)), tensor([1.0]), (0.0, 1.0))
    with torch.no_grad(), pytest.raises(de.RightHandSideError, match=r"f passes u to NumPy.*use an explicit method"):
        de.solve(prob, alg)


def test_a_random_f_is_not_taken_for_one_that_hides_the_time():
    generator = torch.Generator().manual_seed(0)

    def f(u, p, t):
        return -u + 1e-6 * torch.rand(1, dtype=u.dtype, generator=generator)

    with torch.no_grad():
        sol = de.solve(de.ODEProblem(f, tensor([1.0]), (0.0, 1.0)), de.Rodas5P(), abstol=1e-3, reltol=1e-3)
    assert sol.stats.naccept < 20
