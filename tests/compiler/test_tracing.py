"""What the graph of a function does not show by itself. None of this needs Julia."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from problems import tensor

from pydiffeqflux._engines.julia.compiler._programs import derivative_program, pull_both_program, pull_tangent_program
from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError
from pydiffeqflux._engines.julia.compiler._traced import Inputs, TracedFunction

SCALE = tensor(2.0)
WEIGHTS = tensor([2.0, 1.0, 0.5])
OTHERS = tensor([2.0, 1.0, 1.5])
INDEX = torch.tensor(1)
CONDITION = torch.tensor([True, False, True])


def _traced(f, *, tensors=(), wanted=()):
    inputs = Inputs({"u": torch.zeros(3, dtype=torch.float64)}, [], tensor(0.0))
    return TracedFunction(lambda u, t: f(u), inputs, tensors, wanted)


def _gradient(f, u):
    x = u.clone().requires_grad_()
    k = f(x)
    return torch.autograd.grad(k.sum(), x)[0] if k.requires_grad else torch.zeros_like(u)


# ---- numbers that are read out of tensors


@pytest.mark.parametrize(
    ("f", "read"),
    [
        (lambda u: u * SCALE.item(), SCALE),
        (lambda u: u * float(SCALE), SCALE),
        (lambda u: u * float(SCALE * 2), SCALE),
        (lambda u: u * WEIGHTS.tolist()[0], WEIGHTS),
        (lambda u: u[: int(SCALE)].sum() * u, SCALE),
        (lambda u: torch.add(u, u, alpha=SCALE), SCALE),
        (lambda u: u[INDEX] * u, INDEX),
        (lambda u: u[[INDEX, 0, 2]] * u, INDEX),
        (lambda u: u * torch.as_tensor(data=[SCALE, 1.0, 2.0]), SCALE),
        (lambda u: u if torch.allclose(WEIGHTS, OTHERS) else -u, WEIGHTS),
        (lambda u: u * torch.tensor([SCALE, 1.0, 2.0]), SCALE),
        (lambda u: u * torch.as_tensor([SCALE, 1.0, 2.0]), SCALE),
        (lambda u: u if torch.equal(WEIGHTS, WEIGHTS) else -u, WEIGHTS),
        (lambda u: u * (2.0 if SCALE.item() > 1 else 3.0), SCALE),
    ],
    ids=range(14),
)
def test_reading_a_number_is_noticed(f, read):
    assert any(source is read for source in _traced(f).reads)


def test_reading_a_number_is_noticed_without_gradients():
    with torch.no_grad():
        assert [source is WEIGHTS for source in _traced(lambda u: u * WEIGHTS.tolist()[0]).reads] == [True]


def test_what_is_computed_with_is_not_read():
    traced = _traced(lambda u: u * SCALE * torch.tensor([1.0, 2.0, 3.0]) + float(torch.tensor(2.0) * 3))
    assert not any(source is SCALE for source in traced.reads)


TABLE = tensor([[1.0, 2.0, 4.0, 8.0], [3.0, 5.0, 7.0, 9.0]])


def _interpolated(u):
    times = torch.linspace(0.0, 3.0, 4, dtype=u.dtype)
    k = torch.searchsorted(times, u[0].abs().clamp(0.1, 2.9))
    weight = u[0].abs() - times[k - 1]
    return u * ((1 - weight) * TABLE[0, k - 1] + weight * TABLE[0][k])


@pytest.mark.parametrize(
    "f",
    [
        _interpolated,
        lambda u: u * u[-u.argmin()],
        lambda u: u * TABLE[..., u.argmax()].sum(),
        lambda u: u * TABLE[u.argmin() - 2, 1:, None].sum() * TABLE[:, -u.argmin(), ...].prod(),
        lambda u: u * TABLE[u.argmax() % 2, u.argmin()],
        lambda u: u * torch.bucketize(u, TABLE[1], right=True),
    ],
    ids=range(6),
)
def test_positions_are_computed(f):
    traced = _traced(f)
    assert traced.reads == []
    derivative_program(traced.bind(()))
    for u in (tensor([0.3, -0.2, 0.5]), tensor([-2.5, 6.0, 5.0]), tensor([1.2, 3.0, -9.0])):
        assert torch.equal(traced.bind(())([u], [], [], tensor(0.0)), f(u))


def _writes_to_a_row(u):
    x = u.clone().reshape(3, 1)
    x[u.argmax()].clamp_(max=5.0)
    return x[:, 0]


def _writes_to_a_part_of_a_row(u):
    x = u.clone().reshape(3, 1)
    x[u.argmax()][:1] = torch.relu(u[:1] - 100.0) * x[u.argmax()]
    return x[:, 0]


@pytest.mark.parametrize("f", [_writes_to_a_row, _writes_to_a_part_of_a_row], ids=lambda f: f.__name__)
def test_writes_at_computed_positions_are_refused(f):
    with pytest.raises(CannotCompileError, match="writes in place to a part"):
        _traced(f)


def test_an_empty_condition():
    none = torch.tensor([False, False, False])
    traced = _traced(lambda u: u + u[none].sum())
    assert traced.bind(())([tensor([1.0, 2.0, 3.0])], [], [], tensor(0.0)).tolist() == [1.0, 2.0, 3.0]


def _sets_where(u):
    out = torch.zeros_like(u)
    out[CONDITION] = u[CONDITION].sin()
    return out


@pytest.mark.parametrize(
    "f", [_sets_where, lambda u: u * u[CONDITION].sum(), lambda u: u * u[None][:, CONDITION].sum()]
)
def test_captured_conditions_are_read(f):
    traced = _traced(f)
    assert any(source is CONDITION for source in traced.reads)
    derivative_program(traced.bind(()))
    u = tensor([0.3, -0.2, 0.5])
    assert torch.equal(traced.bind(())([u], [], [], tensor(0.0)), f(u))


@pytest.mark.parametrize(
    "f",
    [
        lambda u: u * torch.tensor([u[0], 1.0, 2.0]),
        lambda u: u * torch.tensor([SCALE * 2, 1.0, 2.0]),
        lambda u: u * torch.tensor(u),
        lambda u: u * (u.sum() * 2).item(),
        lambda u: u * u.tolist()[0],
        lambda u: u if SCALE * u[0] > 0 else -u,
    ],
    ids=range(6),
)
@pytest.mark.filterwarnings("ignore:To copy construct")
def test_numbers_of_computed_tensors_are_refused(f):
    with pytest.raises(CannotCompileError):
        derivative_program(_traced(f).bind(()))


# ---- parts without gradient


def _frozen_part(u):
    with torch.no_grad():
        threshold = torch.relu(u - 100.0)  # its derivative is zero at small u only
    return u * (1 + threshold)


def _frozen_inside_a_transform(u):
    def energy(v):
        with torch.no_grad():
            weight = v.cos()
        return (v.sin() * weight).sum()

    return torch.func.grad(energy)(u)


def _thawed(u):
    with torch.no_grad(), torch.enable_grad():
        return u.sin()


@torch.no_grad()
def _frozen_completely(u):
    return u.sin()


def _frozen_in_inference_mode(u):
    with torch.inference_mode():
        factor = u.sin()
    return u * factor.clone()


FROZEN = [
    _frozen_part,
    _frozen_in_inference_mode,
    _frozen_inside_a_transform,
    _thawed,
    _frozen_completely,
    lambda u: u * u.sin().detach(),
]


@pytest.mark.parametrize("f", FROZEN, ids=lambda f: f.__name__)
def test_gradients_are_cut_where_torch_cuts_them(f):
    traced = _traced(f)
    for u in (tensor([0.3, -0.2, 0.5]), tensor([150.0, 101.0, 99.0])):
        t = tensor(0.0)
        assert torch.equal(traced.bind(())([u], [], [], t), f(u))
        torch.testing.assert_close(_gradient(lambda x, t=t: traced.bind(())([x], [], [], t), u), _gradient(f, u))


def _writes_without_gradient(u):
    x = u.clone()
    with torch.no_grad():
        x.add_(torch.relu(u - 100.0))
    return x


def _writes_an_element_without_gradient(u):
    x = u.clone()
    with torch.no_grad():
        x[0] = 1.0
    return x


def _activation_in_place(u):
    x = u * 1.0
    with torch.no_grad():
        F.relu(x, inplace=True)
    return x


def _transform_without_gradient(u):
    with torch.no_grad():
        s = torch.func.grad(lambda v: v.sin().sum())(u)
    return u * s


def _data(u):
    return u * torch.relu(u - 100.0).data


def _writes_data(u):
    x = u.clone()
    x.data = u * 3.0
    return x


@pytest.mark.parametrize(
    "f",
    [_writes_without_gradient, _writes_an_element_without_gradient, _activation_in_place, _transform_without_gradient,
     _data, _writes_data],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_what_would_have_another_gradient_is_refused(f):
    with pytest.raises(CannotCompileError, match=r"no_grad|attribute data"):
        _traced(f)


def test_batch_statistics_are_not_compiled():
    norm = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    with pytest.raises(CannotCompileError, match="writes in place"):
        _traced(lambda u: norm(u.expand(4, 3))[0])
    assert norm.running_mean.tolist() == [0.0, 0.0, 0.0]
    assert norm.running_var.tolist() == [1.0, 1.0, 1.0]
    norm.eval()
    _traced(lambda u: norm(u.expand(4, 3))[0])


# ---- memory


def test_tensors_are_not_kept_alive_and_others_may_take_their_place():
    def make():
        scale, buffer, factor = tensor([1.0, 2.0, 3.0], grad=True), tensor([1.0, 0.0, 1.0]), tensor(2.0)
        tensors = [buffer, scale, factor]
        traced = _traced(lambda u: scale * u + buffer * float(factor), tensors=tensors, wanted=[scale])
        bound = traced.bind(tensors)
        for program in (derivative_program, pull_both_program, pull_tangent_program):
            program(bound)
        assert [q is scale for q in bound.parameters] == [True]
        return traced, [weakref.ref(scale), weakref.ref(buffer)]

    traced, references = make()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
    assert traced.reads == [2]
    scale, buffer = tensor([5.0, 6.0, 7.0], grad=True), tensor([1.0, 1.0, 1.0])
    bound = traced.bind([buffer, scale, tensor(9.0)])
    assert bound.parameters[0] is scale
    # the number is that of the first factor
    assert bound(tensor([1.0, 1.0, 1.0]), [], [scale], tensor(0.0)).tolist() == [7.0, 8.0, 9.0]


def test_tensors_that_nobody_else_has_are_kept():
    traced = _traced(lambda u: u + torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    gc.collect()
    u = tensor([1.0, 1.0, 1.0])
    assert traced.bind(())([u], [], [], tensor(0.0)).tolist() == [2.0, 3.0, 4.0]


def test_the_inputs_are_not_kept():
    u, leaf = torch.zeros(3, dtype=torch.float64), torch.zeros(1000, 1000, dtype=torch.float64)
    traced = TracedFunction(lambda u, p, t: u * p.sum(), Inputs({"u": u}, [leaf], tensor(0.0)))
    kept = traced.inputs.leaves[0]
    assert kept.shape == leaf.shape
    assert kept.untyped_storage().nbytes() == 8


def test_a_parameter_read_twice_is_one():
    w = tensor([1.0, 2.0, 3.0], grad=True)
    traced = _traced(lambda u: (w * u).clone().add_(w * w), wanted=[w])
    bound = traced.bind(())
    assert len(bound.parameters) == 1
    u = tensor([1.0, 1.0, 1.0])
    assert torch.equal(bound([u], [], [2 * w], tensor(0.0)), 2 * w * u + 4 * w * w)
