"""One test per family of operations: values and vector-Jacobian products against torch."""
# ruff: noqa: E501 - a table of one line a family

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from lowered import compare, lowered, pulled, run, worst

from pydiffeqflux._engines.julia.compiler._emission import BLAS_THRESHOLD
from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError

pytestmark = pytest.mark.julia
BARS = {torch.float64: 1e-13, torch.float32: 2e-5}


def _set_slices(u):
    out = torch.zeros_like(u)
    out[1:3] = u[:2]
    out[:, 0] = u[:, 1] * 2
    out[0, 1:] += u[1, :-1].sin()
    return out


def _like(u, *shape):
    return torch.linspace(-1.0, 1.3, torch.Size(shape).numel(), dtype=u.dtype).reshape(shape).cos()


ROWS = torch.tensor([1, 0, 3, -1, 1])
COLUMNS = torch.tensor([[0, 5], [-2, 5]])
CONDITION = torch.tensor([[True, False, True, True, False, False]]).expand(4, 6)

FAMILIES = {
    "arithmetic": lambda u: (u + 1.5 * u - 2.0) / (3.0 + u * u) + (1 - u) * u.reciprocal() + -u,
    "numbers on the left": lambda u: 2.0**u + 1.0 / (u + 3.0) + torch.full_like(u, -2.0) ** 2 * u,
    "powers": lambda u: u.abs() ** 1.3 + u**2 + u**-3 + u.abs() ** 0.5 + u.abs() ** u + u**0 + u**17,
    "exponentials": lambda u: u.exp() + u.expm1() + u.exp2() + u.abs().log() + u.abs().log1p() + u.abs().log2(),
    "logarithms": lambda u: u.abs().log10() + torch.logaddexp(u, 2 * u) + torch.xlogy(u, u.abs()) + u.abs().logit(0.1),
    "trigonometric": lambda u: u.sin() + u.cos() + u.tan() + u.atan() + torch.atan2(u, u + 2) + torch.sinc(u),
    "arcs": lambda u: (u / 9).asin() + (u / 9).acos() + (u / 9).atanh() + u.asinh() + (2 + u.abs()).acosh(),
    "hyperbolic": lambda u: u.sinh() + u.cosh() + u.tanh(),
    "roots": lambda u: u.abs().sqrt() + u.abs().rsqrt() + torch.hypot(u, u + 1),
    "special": lambda u: u.erf() + u.erfc() + (u.abs() + 0.5).lgamma() + torch.special.expit(u),
    "outside of the domain": lambda u: u.log().nan_to_num(0.5) + u.sqrt().nan_to_num(2.0),
    "steps": lambda u: u * u.sign() + u * u.floor() + u * u.ceil() + u * u.round() + u * u.trunc() + u.frac(),
    "remainders": lambda u: u % 1.0 + torch.fmod(u, 0.7) + torch.remainder(u, -0.3),
    "clamp": lambda u: u.clamp(-1, 1) + u.clamp(min=0.2) + u.clamp(max=_like(u, 6)),
    "where": lambda u: torch.where(u > 0, u, 0.1 * u) + torch.where((u < 1) & ~(u <= -1), u, 1.0) + (u != 0) * u,
    "masked": lambda u: u.masked_fill(u > 0, 1.5),
    "extrema": lambda u: torch.maximum(u, u.flip(1)) * torch.minimum(u, _like(u, 6)) + torch.fmax(u, _like(u, 4, 1)),
    "activations 1": lambda u: F.gelu(u) + F.gelu(u, approximate="tanh") + F.silu(u) + F.mish(u) + F.softplus(u),
    "activations 2": lambda u: F.elu(u) + F.selu(u) + F.celu(u, 0.7) + F.hardtanh(u) + F.leaky_relu(u) + F.relu6(u),
    "activations 3": lambda u: F.logsigmoid(u) + u.sigmoid() + F.softsign(u) + F.hardswish(u) + F.tanhshrink(u),
    "activations 4": lambda u: F.prelu(u, _like(u, 6)) + F.softshrink(u) + F.threshold(u, 0.1, 3.0),
    "glu": lambda u: F.glu(u) * F.glu(u, 0).sum(),
    "sums": lambda u: u - u.sum(-1, keepdim=True) + u.sum() + u.mean(0) + u.nansum(1)[:, None],
    "products": lambda u: u * u.prod(1, keepdim=True) + u.prod(0) + u.prod(),
    "largest": lambda u: u - u.amax(1, keepdim=True) + u.amin((0, 1)) + u.max() * u.min(),
    "largest with indices": lambda u: u * u.max(1, keepdim=True).values + u.min(0).values + u.aminmax(dim=0).max,
    "indices": lambda u: u * u.argmax(1, keepdim=True) + u * u.argmin() + u[u.argmax(0), torch.arange(6)],
    "softmax": lambda u: u.softmax(1) + u.log_softmax(0) + u.logsumexp(1, keepdim=True) + F.softmin(u, 0),
    "variances": lambda u: u * u.var(0) + u.std(1, keepdim=True) + u.var() + u.var(1, correction=0)[:, None],
    "norms": lambda u: u / u.norm() + F.normalize(u) + torch.linalg.vector_norm(u, 3, 0) + u.norm(1),
    "cumulative": lambda u: u.cumsum(1) + u.cumprod(1) + u.cumsum(0) + torch.trapezoid(u, dim=1)[:, None],
    "products of matrices": lambda u: (u @ _like(u, 6, 5)) @ _like(u, 5, 6) + u @ u.mT @ u + u.mv(u[0])[:, None],
    "batches of matrices": lambda u: (u.reshape(2, 2, 6) @ _like(u, 6, 3)).mT.bmm(u.reshape(2, 2, 6)),
    "broadcast batches": lambda u: u[None].expand(3, 4, 6) @ _like(u, 3, 6, 2) + u @ _like(u, 2, 1, 6, 2),
    "einsum": lambda u: torch.einsum("ij,kj,kl->il", u, _like(u, 5, 6), _like(u, 5, 3)) * torch.einsum("ij,ij", u, u),
    "outer": lambda u: torch.outer(u[0], u[1])[:4] * torch.dot(u[0], u[1]) + torch.kron(u[:2, :3], u[2:, :2]),
    "addmm": lambda u: torch.addmm(u[:, :4], u, u.T, beta=0.5, alpha=2.0) + torch.baddbmm(u[:, :4], u[None], u.T[None]),
    "linear": lambda u: F.linear(u, _like(u, 5, 6), _like(u, 5)),
    "bilinear": lambda u: F.bilinear(u, u.sin(), _like(u, 5, 6, 6), _like(u, 5)),
    "attention": lambda u: F.scaled_dot_product_attention(u[None], u[None].sin(), u[None])[0],
    "attention in heads": lambda u: F.scaled_dot_product_attention(*(u.reshape(1, 2, 4, 3), u.reshape(1, 2, 4, 3).sin(), u.reshape(1, 2, 4, 3).cos()), is_causal=True)[0],
    "cross": lambda u: torch.linalg.cross(u[:, :3], u[:, 3:]),
    "rearranged": lambda u: u.T.reshape(3, 8).T.contiguous().view(4, 6) + u.reshape(2, 2, 3, 2).permute(3, 0, 2, 1).reshape(4, 6),
    "joined": lambda u: torch.cat([u[:2], u[2:] * 2, u[:0]]) + torch.stack([u[3], u[2], u[0], u[1]]),
    "split": lambda u: torch.cat(u.split(4, 1)[::-1], 1) + torch.cat(u.chunk(2)[::-1]) + u.unbind(1)[2][:, None],
    "slices": lambda u: u[::2, 1::3] * u[1:3, -2:] + u[-1, 2] + u[..., None, 0:2][:2, 0],
    "repeated": lambda u: u.repeat(2, 1)[:4] + u[:, :1].expand(4, 6) + u.repeat_interleave(2, 0)[2:6] + u.tile(1, 2)[:, 3:9],
    "flipped": lambda u: u.flip(0) + u.flip(0, 1).T.reshape(4, 6) + u.roll(1, 0) + u.roll((1, 2), (0, 1)) + u.rot90(2),
    "triangles": lambda u: u.triu() + u.tril(-1) * 2 + u[:, :4].triu(1) @ u,
    "diagonals": lambda u: torch.diag(u[0])[:4] + u.diagonal(1).sum() + u[:, :4].trace() + torch.diag_embed(u[:, 0]) @ u,
    "made": lambda u: u @ torch.eye(6, dtype=u.dtype) + torch.linspace(0, 1, 6, dtype=u.dtype) + torch.arange(6) * u,
    "padded": lambda u: F.pad(u, (1, 2, 0, 1), value=3.0)[1:, 1:7] + F.pad(u, (-1, 1)),
    "reflected": lambda u: F.pad(u[None], (1, 1), mode="reflect")[0, :, 2:] + F.pad(u[None], (2, 0), mode="replicate")[0, :, 2:],
    "circular": lambda u: F.pad(u[None], (1, 1), mode="circular")[0][:, 2:],
    "unfolded": lambda u: u.unfold(1, 3, 2).sin().sum(-1) + u[:, :4].unfold(1, 3, 1).sum(-1),
    "written in place": lambda u: u.clone().add_(1).mul_(2).sin_() + _set_slices(u),
    "indexed": lambda u: u[:, torch.tensor([1, 0, 3, 2, 5, 4])] + u[ROWS[:4]] + u.index_select(1, torch.arange(6).flip(0)),
    "indexed twice": lambda u: u[ROWS[:2], COLUMNS] * u[ROWS[2:4, None], :2] + u[ROWS][:2, COLUMNS].sum(-1),
    "indexed apart": lambda u: u.reshape(4, 3, 2)[ROWS[:2], :, torch.tensor([1, 0])],
    "positions that are computed": lambda u: u * u[u.argmax() % 4, 1:2] + u[..., -u[0].argmin()][:, None] * _like(u, 9)[u.abs().sum().floor().long() % 9],
    "tables": lambda u: u * torch.searchsorted(torch.linspace(-2, 2, 9, dtype=u.dtype), u) + torch.bucketize(u.sin(), torch.linspace(-1, 1, 5, dtype=u.dtype), right=True),
    "captured conditions": lambda u: u[CONDITION].sin().sum() * u + u.masked_fill(CONDITION, 0.5),
    "gathered": lambda u: u.gather(1, torch.tensor([[0, 5], [2, 2]])) + u.take_along_dim(ROWS[:2, None] % 4, 0)[:, :2],
    "scattered": lambda u: u.scatter(1, torch.tensor([[0, 5], [2, 1]]), u[:2, :2].sin()) + u.scatter_add(0, ROWS[:4, None].abs().expand(4, 6), u),
    "put": lambda u: torch.zeros_like(u).index_put((ROWS[:2],), u[:2]) + u.index_add(0, ROWS.abs(), u[[0, 1, 2, 3, 0]]),
    "embedding": lambda u: u * F.embedding(torch.tensor([0, 2, 1, 2]), _like(u, 3, 6)) + F.embedding(ROWS[:4].abs(), u),
    "conv1d": lambda u: F.conv1d(u[None], _like(u, 5, 4, 3), _like(u, 5), padding=1, stride=2),
    "conv1d in groups": lambda u: F.conv1d(u[None], _like(u, 6, 2, 2), padding=2, dilation=2, groups=2),
    "conv2d": lambda u: F.conv2d(u.reshape(2, 1, 4, 3), _like(u, 2, 1, 3, 2), padding=(1, 0), stride=(2, 1)),
    "transposed convolution": lambda u: F.conv_transpose1d(u[None], _like(u, 4, 3, 2), _like(u, 3), stride=2, padding=1),
    "layer norm": lambda u: F.layer_norm(u, (6,), _like(u, 6), _like(u, 6)),
    "group norm": lambda u: F.group_norm(u[None], 2, _like(u, 4))[0],
    "batch norm": lambda u: F.batch_norm(u, _like(u, 6), 2 + _like(u, 6), _like(u, 6)),
    "average pooling": lambda u: F.avg_pool2d(u[None, None], 2, 1, 1) + F.avg_pool1d(u[None], 3, 2).sum(),
    "adaptive pooling": lambda u: F.adaptive_avg_pool2d(u[None, None], (2, 3))[0, 0],
    "max pooling": lambda u: F.max_pool2d(u[None, None], 2, 2)[0, 0] + F.max_pool1d(u[None], 3, 3).sum(),
    "upsampled": lambda u: F.interpolate(u[None, None], scale_factor=2) .sin() + F.interpolate(u[None, None], (8, 12)),
    "upsampled linearly": lambda u: F.interpolate(u[None, None], scale_factor=2, mode="bilinear") * F.interpolate(u[None, None], (8, 12), mode="bilinear", align_corners=True),
    "upsampled by a part": lambda u: F.interpolate(u[None], 9) * F.interpolate(u[None], scale_factor=1.5),
    "dropout in eval mode": lambda u: F.dropout(u, 0.5, training=False),
    "solve": lambda u: torch.linalg.solve(torch.eye(4, dtype=u.dtype) * 3 + u @ u.T, u),
    "solve with a vector": lambda u: torch.linalg.solve(torch.eye(4, dtype=u.dtype) * 3 + u @ u.T, u[:, 0]),
    "solve stacks": lambda u: torch.linalg.solve(u.reshape(6, 2, 2) + 5 * torch.eye(2, dtype=u.dtype), u[:2, :3]),
    "solve from the right": lambda u: torch.linalg.solve(torch.eye(6, dtype=u.dtype) * 9 + u.T @ u, u, left=False),
    "determinant": lambda u: torch.linalg.det(u[:, :4]) * u,
    "determinants of a stack": lambda u: torch.linalg.det(u.reshape(6, 2, 2)),
    "determinants of other sizes": lambda u: u[:3, :3].det() + u[:1, :1].det() + torch.linalg.det(u[:0, :0]),
    "slogdet": lambda u: torch.linalg.slogdet(u[:3, :3])[1] * torch.linalg.slogdet(u[1:, :3]).sign,
    "logdet": lambda u: torch.logdet(torch.eye(4, dtype=u.dtype) * 3 + u @ u.T),
    "inverse": lambda u: torch.linalg.inv(torch.eye(4, dtype=u.dtype) * 3 + u @ u.T) @ u,
    "distances": lambda u: torch.cdist(u, u) @ u + torch.cdist(u.reshape(2, 4, 3), u.reshape(2, 4, 3).cos(), p=1.0).sum(),
    "integers": lambda u: u * (torch.arange(6) // 2 + torch.arange(6) % 4 * 3) + u.floor().long() * u + (u > 0).sum(),
    "conditions": lambda u: u * (u > 0).any(1, keepdim=True) + u * (u < 2).all() + (u > 0).float().mean().to(u.dtype) * u,
    "dimensions of size one": lambda u: u[:1, :, None] * u[None, :, :1].mT + u[:1, :1].sum(0) + u[:1].squeeze(0).mean(),
    "without elements": lambda u: torch.cat([u[:, 3:3].sum(1, keepdim=True), u, u[:0].sin().sum(0).expand(4, 6)], 1),
    "without dimensions": lambda u: u[0, 0].sin().sum() * u.sum().max() + u.mean().cumsum(0).prod(),
    "read twice": lambda u: (lambda y: y * y)((lambda y: y * y + y)(u.sin() * u.sin())),
}  # fmt: skip


@pytest.mark.parametrize("dtype", BARS, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_value_and_derivative(name, dtype):
    u = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7)).to(dtype)
    # single numbers of products of 24 random ones and of ratios spread widely: the bar is relative to the largest
    assert compare(FAMILIES[name], u) < BARS[dtype]


@pytest.mark.parametrize("name", [name for name in FAMILIES if "solve" not in name][::3])
def test_any_number_type(name):
    u = torch.randn(4, 6, dtype=torch.float64)
    assert compare(FAMILIES[name], u, generic=True) < 1e-13


def test_the_derivative_of_digamma():
    # torch's own series for it is good to nine digits
    u = torch.linspace(0.5, 5.0, 10, dtype=torch.float64)
    assert compare(torch.digamma, u) < 2e-9
    assert abs(torch.polygamma(1, torch.ones(1, dtype=torch.float64)).item() - torch.pi**2 / 6) > 1e-11


def test_nan_reaches_extrema():
    u = torch.randn(4, 6, dtype=torch.float64)
    u[1, 2] = float("nan")
    assert (
        compare(
            lambda v: torch.cat([v.amax(1), v.amin(0), v.max(1)[0], v.min()[None], v.relu()[1]]), u, derivative=False
        )
        == 0
    )
    assert compare(lambda v: torch.stack([v.argmax(1), v.argmin(1)]).double(), u.double(), derivative=False) == 0


def test_infinite_numbers():
    u = torch.tensor([float("inf"), -float("inf"), 0.0, -0.0, 1e308], dtype=torch.float64)
    assert (
        compare(lambda v: torch.stack([v.exp(), v.sin(), 1 / v, v * 10, v.sqrt(), v.log(), v % 2]), u, derivative=False)
        == 0
    )


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("batched", [False, True])
def test_large_products_go_through_blas(transposed, batched):
    n = 32
    assert n**3 > BLAS_THRESHOLD
    lead = (3,) if batched else ()
    u = torch.randn(*lead, n, n + 1, dtype=torch.float64)
    other = torch.randn(n + 1, n + 2, dtype=torch.float64)

    def product(u):
        left = u.mT.contiguous().mT if transposed[0] else u
        right = other.mT.contiguous().mT if transposed[1] else other
        return left @ right @ right.mT

    assert compare(product, u) < 1e-13


def test_states_without_dimensions():
    assert compare(lambda u: u.sin() * u, torch.tensor(0.3, dtype=torch.float64)) < 1e-15


def test_mixed_dtypes():
    u = torch.randn(3, dtype=torch.float64)
    assert compare(lambda u: u.float().sin().double() * u + u.float() * 2.5 + u, u) < 1e-6


def test_indices_outside_raise():
    u = torch.randn(3, dtype=torch.float64)
    rows = torch.tensor([0, 1])
    program = lowered(lambda u: u[rows], u)
    rows[1] = 3
    with pytest.raises(Exception, match="BoundsError"):
        run(program, u)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex128], ids=str)
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(CannotCompileError, match="is not supported"):
        lowered(pulled(lambda u: u.to(dtype).real.double()), *torch.randn(2, 3, dtype=torch.float64))


def test_the_measure_of_error():
    one = torch.tensor([1.0, float("nan")])
    assert worst(one, one) == 0
    assert worst(one, torch.tensor([1.0, 1.0])) == float("inf")
