"""What cannot be compiled is refused with the reason."""

import pytest
import torch

import pydiffeqflux as de
from pydiffeqflux._engines.julia.compiler._location import A_WRITE, locate

pytestmark = pytest.mark.julia
CAPTURED = torch.ones(3, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh_capture(monkeypatch):
    monkeypatch.setattr(f"{__name__}.CAPTURED", torch.ones(3, dtype=torch.float64))


def _branch(u, p, t):
    if u.sum() > 0:  # here
        return u
    return -u


def _unknown(u, p, t):
    return torch.fft.fft(u).real  # here


def _sorted(u, p, t):
    return u.sort().values  # here


def _random(u, p, t):
    return u * torch.rand(3)  # here


def _dropout(u, p, t):
    return torch.nn.functional.dropout(u, 0.5)  # here


def _number(u, p, t):
    return u * u.sum().item()  # here


def _mask(u, p, t):
    return u * u[u > 0].sum()  # here


def _writes_constant(u, p, t):
    CAPTURED.add_(1.0)  # here
    return u * CAPTURED


def _writes_state(u, p, t):
    CAPTURED.copy_(u)  # here
    return u * CAPTURED


def _writes_part(u, p, t):
    CAPTURED[0] = 2.0  # here
    return u * CAPTURED


REASONS = {
    _branch: "depends on values",
    _unknown: "_fft_r2c",
    _sorted: "aten.sort",
    _random: "random numbers",
    _dropout: "random numbers",
    _number: "depends on values",
    _mask: "depends on values",
    _writes_constant: "writes in place",
    _writes_state: "writes in place",
    _writes_part: "writes in place",
}


@pytest.mark.filterwarnings("ignore::pydiffeqflux.JuliaWarning")
@pytest.mark.parametrize("f", REASONS, ids=lambda f: f.__name__)
def test_required_compilation_raises(f):
    prob = de.ODEProblem(f, torch.ones(3, dtype=torch.float64), (0.0, 0.1))
    before = CAPTURED.clone()
    with pytest.raises(de.UnsupportedError, match=REASONS[f]) as caught:
        de.solve(prob, de.Tsit5(), engine="julia", compile=True)
    assert "# here" in str(caught.value)
    if f not in (_writes_constant, _writes_state, _writes_part):
        assert torch.equal(CAPTURED, before)


def test_looking_for_the_line_writes_to_nothing():
    before = CAPTURED.clone()
    line = locate(lambda u: _writes_part(u, None, None), [torch.zeros(3, dtype=torch.float64)], A_WRITE)
    assert line.endswith("CAPTURED[0] = 2.0  # here")
    assert torch.equal(CAPTURED, before)


def test_fallback_warns_once():
    def f(u, p, t):  # not _sorted itself, whose refusal may be known already
        return _sorted(u, p, t)

    prob = de.ODEProblem(f, torch.ones(3, dtype=torch.float64), (0.0, 0.1))
    with pytest.warns(de.JuliaWarning, match=r"aten\.sort"):
        first = de.solve(prob, de.Tsit5(), engine="julia")
    second = de.solve(prob, de.Tsit5(), engine="julia")
    assert torch.equal(first.u, second.u)
