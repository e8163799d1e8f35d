"""Uses of operations, as expressions of a tensor `x`, and the tensors that they are tried with."""
# ruff: noqa: E501 - a table

import torch

INPUTS = {
    "matrix": (4, 6),
    "square": (3, 3),
    "cube": (3, 3, 3),
    "images": (2, 2, 5, 4),
    "vector": (5,),
    "element": (1,),
    "scalar": (),
    "empty": (0, 3),
}

KINDS = {
    "float64": lambda u: u,
    "float32": lambda u: u.float(),
    "int64": lambda u: (3 * u).long(),
    "int32": lambda u: (3 * u).int(),
    "bool": lambda u: u > 0,
    "transposed": lambda u: u.mT if u.ndim > 1 else u.flip(0) if u.ndim else u,
}

UNARY = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "deg2rad",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "frac",
    "i0",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_not",
    "logit",
    "neg",
    "positive",
    "rad2deg",
    "reciprocal",
    "relu",
    "round",
    "rsqrt",
    "sgn",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "bitwise_not",
    "nan_to_num",
    "clone",
    "detach",
    "contiguous",
    "sum",
    "prod",
    "mean",
    "max",
    "min",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "std",
    "var",
    "norm",
    "logsumexp",
    "median",
    "mode",
    "numel",
    "nansum",
    "nanmean",
    "aminmax",
    "count_nonzero",
    "flatten",
    "ravel",
    "squeeze",
    "t",
    "trace",
    "det",
    "inverse",
    "diag",
    "diagonal",
    "triu",
    "tril",
    "unique",
    "sort",
    "argsort",
    "nonzero",
    "double",
    "float",
    "long",
    "int",
    "bool",
    "half",
    "bfloat16",
    "isnan",
    "unbind",
    "tolist",
    "item",
    "conj",
    "resolve_neg",
    "adjoint",
    "ndim",
    "cumsum",
    "logdet",
    "slogdet",
    "pinverse",
    "matrix_exp",
    "cholesky",
    "qr",
    "svd",
]

PAIRS = [
    "add",
    "sub",
    "mul",
    "div",
    "true_divide",
    "floor_divide",
    "fmod",
    "remainder",
    "pow",
    "atan2",
    "hypot",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "copysign",
    "nextafter",
    "heaviside",
    "logaddexp",
    "logaddexp2",
    "xlogy",
    "float_power",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "logical_and",
    "logical_or",
    "logical_xor",
    "gcd",
    "lcm",
    "ldexp",
    "isclose",
    "dist",
    "dot",
    "inner",
    "outer",
    "mv",
    "mm",
    "matmul",
    "kron",
    "cross",
    "cdist",
    "bmm",
    "equal",
    "allclose",
    "max",
    "min",
    "where",
    "lerp",
]

SHIFTED = ("x", "x.flip(0)", "(x + 1)", "2", "-1.5", "True", "x.sum()", "x.double()", "x.long()")
"""Second operands."""

ALONG = [
    "sum",
    "prod",
    "mean",
    "amax",
    "amin",
    "max",
    "min",
    "argmax",
    "argmin",
    "any",
    "all",
    "std",
    "var",
    "norm",
    "logsumexp",
    "softmax",
    "log_softmax",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "logcumsumexp",
    "median",
    "mode",
    "sort",
    "argsort",
    "unbind",
    "squeeze",
    "unsqueeze",
    "nansum",
    "diff",
    "flip",
    "aminmax",
    "count_nonzero",
    "kthvalue",
    "topk",
    "renorm",
    "var_mean",
    "std_mean",
    "nanmedian",
]

DIMS = ("0", "-1", "1", "(0, 1)", "()", "(-1,)", "0, True", "dim=1, keepdim=True", "None")

OTHER = (
    # numbers along the way
    "x.clamp(-1, 1)", "x.clamp(min=0.5)", "x.clamp(max=x.mean())", "x.clamp(x * 0, x.abs())", "x.clip(0)", "x.round(decimals=2)",
    "x.round(decimals=-1)", "torch.add(x, x, alpha=2)", "torch.sub(x, 1, alpha=0.5)", "torch.div(x, 2, rounding_mode='floor')",
    "torch.div(x, x + 7, rounding_mode='trunc')", "x // 2", "x % 3", "2 ** x", "x ** 2", "x ** -1", "x ** 0.5", "x ** 17",
    "x ** x", "x << 1", "x >> 1", "~x", "-x", "x.pow(3)", "torch.pow(2, x)", "x * 1j", "x + float('inf')", "x * float('nan')",
    "torch.where(x > 0, x, 0)", "torch.where(x > 0, 1.0, 2.0)", "torch.where(x > 0, 1, 0)", "torch.where(x > 0, x, x.double())",
    "x.masked_fill(x > 0, 2)", "x.masked_fill(x > 0, float('inf'))", "x.masked_fill(x > 0, x.sum())", "x.nan_to_num(1.0, 2.0, 3.0)",
    "torch.polygamma(1, x)", "torch.polygamma(0, x)", "torch.polygamma(2, x)", "torch.special.erfcx(x)", "torch.special.ndtri(x)",
    "torch.special.ndtr(x)", "torch.special.log_ndtr(x)", "torch.special.entr(x)", "torch.special.xlog1py(x, x)", "torch.special.i1(x)",
    "torch.special.zeta(x + 3, x + 3)", "torch.special.bessel_j0(x)", "torch.special.expit(x)", "torch.special.multigammaln(x + 4, 2)",
    "torch.igamma(x.abs(), x.abs())", "torch.frexp(x)", "torch.lerp(x, x + 1, 0.3)", "torch.addcmul(x, x, x, value=2)", "torch.addcdiv(x, x, x + 9)",
    # dtypes
    "x.to(torch.float32)", "x.to(torch.int32)", "x.to(torch.uint8)", "x.to(torch.bool)", "x.to(torch.int16)", "x.to(torch.complex128).real",
    "x.view(torch.int64)", "x.view(torch.int32)", "x.type_as(x.double())", "x + x.to(torch.uint8)", "x.to(torch.uint8) * 2", "x.byte().sum()",
    "torch.bitwise_and(x, 3)", "x.logical_xor(x > 1)", "torch.complex(x, x).abs()", "torch.polar(x, x).imag",
    # reductions
    "x.sum(dtype=torch.float32)", "x.sum(0, dtype=torch.int64)", "x.prod(0, dtype=torch.float32)", "x.cumsum(0, dtype=torch.float32)",
    "x.mean((0, 1), keepdim=True)", "x.var(0, correction=0)", "x.var(correction=2)", "x.std(0, unbiased=False)", "x.norm(1)", "x.norm(3, 0)",
    "x.norm(float('inf'))", "x.norm('fro')", "x.norm(0)", "torch.linalg.norm(x)", "torch.linalg.norm(x, 2)", "torch.linalg.vector_norm(x, 3, 0)", "torch.linalg.matrix_norm(x)",
    "x.quantile(0.5)", "x.histc(3)", "x.sum(()).sin()", "x.argmax(0, keepdim=True)", "x.argmin(keepdim=True)", "x.max(0, keepdim=True)", "x.bincount()",
    "torch.trapezoid(x)", "torch.trapezoid(x, dx=0.1)", "torch.cumulative_trapezoid(x)", "torch.cov(x)", "torch.corrcoef(x)", "x.max(0).indices", "x.min(-1).values",
    # views
    "x.reshape(-1)", "x.reshape(2, -1)", "x.reshape(-1, 3)", "x.reshape(x.shape[::-1])", "x.view(-1, 1)", "x.view(x.shape)", "x.T", "x.mT", "x.permute(*range(x.ndim)[::-1])",
    "x.permute(-1, 0)", "x.transpose(0, -1)", "x.swapaxes(0, 1)", "x.movedim(0, -1)", "x.unsqueeze(0).expand(2, *x.shape)", "x.expand(4, *x.shape)", "x.expand_as(x)",
    "x.broadcast_to(2, *x.shape)", "x.squeeze((0,))", "x.unsqueeze(-1).squeeze(-1)", "x.flatten(0, 1)", "x.unflatten(0, (1, -1))", "x.split(2)", "x.split(2, -1)", "x.split([1, 2])",
    "x.split([1, 2], 1)", "x.split(100)", "x.split([x.shape[0], 0])", "x.split([0, x.shape[0]])", "x.chunk(2)", "x.chunk(2, 1)", "x.chunk(7)", "x.tensor_split(2)", "x.tensor_split((1, 2), 1)", "x.unbind(0)", "x.unbind(1)",
    "x.unbind(-1)[1]", "x.hsplit(3)", "x.vsplit(2)", "x.narrow(0, 1, 2)", "x.select(0, -1)", "x.select(1, 2)", "x[0]", "x[-1]", "x[..., 0]", "x[None]", "x[1:]", "x[:-1]", "x[::2]",
    "x[-2:, 1]", "x[5:2]", "x[:, ::3]", "x[..., None]", "x[2:100]", "x.diagonal(1)", "x.diagonal(-1)", "x.diagonal(0, 0, -1)", "x.diagonal(9)", "torch.diag(x, 1)", "torch.diag_embed(x)",
    "torch.diag_embed(x, 1)", "torch.diag_embed(x, -1, 0, 1)", "x.diagonal_scatter(x.diagonal() * 2)", "x.select_scatter(x[0] * 2, 0, 0)", "x.slice_scatter(x[:1] * 2, 0, 0, 1)", "x.unfold(0, 2, 1)",
    "x.unfold(-1, 2, 2)", "x.unfold(0, 1, 1)", "x.as_strided((2,), (1,))", "x.as_strided((2, 2), (1, 1))", "x.as_strided((2, 2), (3, 1), 1)", "x[1:].as_strided((2,), (1,))", "x.mT.as_strided((2, 2), (1, 2))",
    "x.as_strided_scatter(x.reshape(-1)[:2], (2,), (1,))", "x.flip(0)", "x.flip(0, 1)", "x.flip(())", "x.fliplr()", "x.roll(1)", "x.roll(1, 0)", "x.roll((1, -2), (0, 1))", "x.rot90()", "x.repeat(2, 1)", "x.repeat(2, 1, 1)", "x.repeat(0, 1)",
    "x.repeat_interleave(2)", "x.repeat_interleave(2, 0)", "x.tile(2)", "torch.cat([x, x])", "torch.cat([x, x], -1)", "torch.cat([x, x.double()])", "torch.cat([x, torch.zeros(0)])", "torch.stack([x, x + 1])",
    "torch.stack([x, x], -1)", "torch.hstack([x, x])", "torch.vstack([x, x])", "torch.dstack([x, x])", "torch.block_diag(x, x)", "torch.cartesian_prod(x, x)", "torch.meshgrid(x, x, indexing='ij')",
    "torch.atleast_3d(x)", "x.triu(1)", "x.tril(-1)", "torch.triu(x.unsqueeze(0))", "torch.tril_indices(3, 3) + x.sum()", "torch.vander(x)", "x.view_as(x)", "x.contiguous().view(-1)", "x.ravel()[1:]",
    "F.pixel_shuffle(x.repeat(1, 2, 1, 1), 2)", "torch.channel_shuffle(x, 2)",
    # made tensors
    "torch.zeros_like(x)", "torch.ones_like(x) * x", "torch.full_like(x, 2)", "torch.full_like(x, 2, dtype=torch.float32)", "x.new_zeros(3)", "x.new_full((2,), 3)", "x.new_ones(2, 2)", "torch.empty_like(x).zero_()",
    "torch.eye(3) + x.sum()", "torch.eye(3, dtype=x.dtype)", "torch.eye(2, 3)", "torch.eye(3, dtype=torch.bool)", "torch.arange(4) * x.sum()", "torch.arange(1, 9, 2) + x.sum()", "torch.arange(0.0, 1.0, 0.3) + x.sum()", "torch.arange(5.0, dtype=torch.float32)",
    "torch.arange(3, dtype=torch.int32)", "torch.arange(9, 1, -2) * 1.5", "torch.linspace(0, 1, 5) + x.sum()", "torch.linspace(0, 1, 1)", "torch.logspace(0, 1, 3)", "torch.tensor([1.0, 2.0]) * x.sum()", "torch.tensor(2) * x", "torch.scalar_tensor(2.0) * x",
    "torch.zeros(0) + 1", "torch.full((2, 2), True)", "torch.full((2,), 1.5) * x.sum()", "torch.full((2,), 7)", "torch.empty(2).fill_(3.0)", "torch.ones(2, dtype=torch.uint8).sum()", "torch.hann_window(4) + x.sum()",
    "torch.zeros(3, dtype=torch.complex64).real", "torch.tensor([True, False]) & (x.sum() > 0)", "torch.randn(3) * x.sum()", "torch.rand_like(x.double())", "torch.bernoulli(x.double().sigmoid())",
    # indices
    "x[torch.tensor([0, 2])]", "x[torch.tensor([[0], [-1]])]", "x[[0, 1], [1, 2]]", "x[:, [0, 1]]", "x[[0], :, [1]]", "x[torch.tensor(1)]", "x[torch.tensor([True, False, True])]", "x[x > 0]", "x[x.argmax(0)]", "x[x.argmax() % 3]",
    "x[torch.tensor([], dtype=torch.long)]", "x[torch.tensor([0, 1], dtype=torch.int32)]", "x[torch.tensor([1, 0], dtype=torch.uint8)]", "x[None, torch.tensor([0, 1])]", "x[..., torch.tensor([0])]", "x.index_select(0, torch.tensor([0, 0]))", "x.index_select(-1, torch.tensor([0]))",
    "x.index_select(0, torch.tensor(0))", "x.index_select(0, torch.tensor([0], dtype=torch.int32))", "x.take(torch.tensor([0, 1]))", "x.gather(0, torch.zeros_like(x, dtype=torch.long))", "x.gather(-1, x.argsort(-1))", "x.gather(0, torch.tensor([0, 0]))", "x.gather(0, torch.tensor(0))", "x.take_along_dim(x.argmax(0, keepdim=True), 0)",
    "x.scatter(0, torch.zeros_like(x, dtype=torch.long), 1)", "x.scatter(0, torch.zeros_like(x, dtype=torch.long), x)", "x.scatter(0, torch.zeros_like(x, dtype=torch.long), x, reduce='add')", "x.scatter(0, torch.zeros_like(x, dtype=torch.long), 2, reduce='multiply')", "x.scatter(0, torch.tensor([0, 0]), 1)", "x.scatter(0, torch.tensor(0), 1)",
    "x.scatter_add(0, torch.zeros_like(x, dtype=torch.long), x)", "x.scatter_reduce(0, torch.zeros_like(x, dtype=torch.long), x, 'amax')", "x.scatter_reduce(0, torch.zeros_like(x, dtype=torch.long), x, 'sum')", "x.index_add(0, torch.tensor([0]), x[:1])", "x.index_add(0, torch.tensor([0]), x[:1], alpha=2)", "x.index_copy(0, torch.tensor([0]), x[:1])", "x.index_fill(0, torch.tensor([0]), 3)",
    "x.index_put((torch.tensor([0]),), x[:1])", "x.index_put((torch.tensor([0]),), x[:1], accumulate=True)", "x.index_put((torch.tensor([0, 0]),), x[0], accumulate=True)", "x.index_put((x > 0,), torch.ones((), dtype=x.dtype))", "x.index_put((x > 0,), torch.ones(1, dtype=x.dtype), accumulate=True)", "x.index_put((x > 0,), x[x > 0])", "x.masked_scatter(x > 0, x)", "x.masked_select(x > 0)", "x.put(torch.tensor([0]), x.reshape(-1)[:1])",
    "F.embedding(torch.tensor([0, 1]), x)", "F.embedding(torch.tensor([[0, 1]]), x, padding_idx=0)", "F.embedding(torch.tensor([0]), x, scale_grad_by_freq=True)", "F.embedding_bag(torch.tensor([[0, 1]]), x)", "F.one_hot(x.long().abs() % 3, 3)", "torch.searchsorted(torch.arange(5.0), x)", "torch.searchsorted(torch.arange(5), x, right=True)", "torch.bucketize(x, torch.arange(3.0))", "torch.bucketize(x, torch.arange(3.0), out_int32=True)", "torch.isin(x, x)",
    # in place
    "x.clone().add_(1)", "x.clone().mul_(x)", "x.clone().zero_()", "x.clone().fill_(2)", "x.clone().clamp_(0)", "x.clone().copy_(x + 1)", "x.clone().copy_(x.sum())", "x.clone().copy_(x.double())", "x.clone().masked_fill_(x > 0, 1)", "x.clone().squeeze_()", "x.clone().unsqueeze_(0)", "x.clone().t_()", "x.clone().index_fill_(0, torch.tensor([0]), 1)", "x.clone().fill_diagonal_(1)", "x.clone().sub_(x).exp_()",
    "setitem(x, 0, 1)", "setitem(x, (..., 0), x.sum())", "setitem(x, slice(1, 2), x[:1])", "setitem(x, x > 0, 0)", "setitem(x, torch.tensor([0]), x[:1])", "setitem(x, torch.tensor([True, False, False]), 2)", "x.resize_(2)", "x.clone().relu_()",
    # matrices
    "x @ x.mT", "x.mT @ x", "x @ x[0]", "x.mv(x[0])", "torch.addmm(x, x, x)", "torch.addmm(x, x, x, beta=0)", "torch.addmm(x, x, x, beta=2, alpha=0.5)", "torch.addmv(x[0], x, x[0])", "torch.addr(x, x[0], x[0])", "torch.baddbmm(x, x, x)", "torch.addbmm(x[0], x, x)", "torch.chain_matmul(x, x, x)", "torch.matrix_power(x, 3)", "torch.matrix_power(x, 0)", "torch.matrix_power(x, -1)", "torch.einsum('ij,jk->ik', x, x)", "torch.einsum('i,j->ij', x, x)", "torch.einsum('bij,bjk->bik', x, x)", "torch.tensordot(x, x, 1)", "torch.tensordot(x, x.mT, 1)", "F.linear(x, x)", "F.linear(x, x, x[0])", "F.bilinear(x, x, x.unsqueeze(0) * 1.0)",
    "torch.linalg.solve(x, x)", "torch.linalg.solve(x, x[0])", "torch.linalg.solve(x, x, left=False)", "torch.linalg.solve(x, x[..., 0])", "torch.linalg.solve_ex(x, x).info", "torch.linalg.solve_ex(x, x, check_errors=True).result", "torch.linalg.inv(x)", "torch.linalg.inv_ex(x).info", "torch.linalg.inv_ex(x)", "torch.linalg.det(x)", "torch.linalg.slogdet(x)", "torch.linalg.lu_factor(x)", "torch.linalg.cholesky(x @ x.mT)", "torch.linalg.solve_triangular(x, x, upper=True)", "torch.linalg.eigvalsh(x)", "torch.linalg.eigh(x)", "torch.linalg.svdvals(x)", "torch.linalg.qr(x)", "torch.linalg.lstsq(x, x)", "torch.linalg.pinv(x)", "torch.linalg.matrix_exp(x)", "torch.linalg.cross(x, x)", "torch.linalg.multi_dot([x, x])", "torch.linalg.vecdot(x, x)", "torch.linalg.tensorinv(x)", "torch.fft.rfft(x).real",
    "torch.cdist(x, x)", "torch.cdist(x, x, p=1.0)", "torch.cdist(x, x, p=float('inf'))", "torch.cdist(x, x, p=0.0)", "torch.pdist(x)", "F.pairwise_distance(x, x + 1)", "F.cosine_similarity(x, x + 1)", "x.sparse_mask(x.to_sparse()).to_dense()", "x.to_sparse() @ x", "torch.eye(x.shape[0], dtype=x.dtype).to_sparse() @ x", "CONSTANT_SPARSE @ x",
    # networks
    "F.relu(x)", "F.relu6(x)", "F.elu(x)", "F.selu(x)", "F.celu(x)", "F.gelu(x)", "F.gelu(x, approximate='tanh')", "F.silu(x)", "F.mish(x)", "F.softplus(x)", "F.softplus(x, 2, 1)", "F.softsign(x)", "F.softshrink(x)", "F.hardshrink(x)", "F.tanhshrink(x)", "F.hardtanh(x)", "F.hardswish(x)", "F.hardsigmoid(x)", "F.leaky_relu(x)", "F.rrelu(x)", "F.prelu(x, x.reshape(-1)[:1])", "F.glu(x)", "F.glu(x, 0)", "F.logsigmoid(x)", "F.threshold(x, 0, 1)", "F.softmax(x, 0)", "F.softmax(x, -1, dtype=torch.float64)", "F.gumbel_softmax(x)", "F.log_softmax(x, 0)", "F.softmin(x, 0)", "F.normalize(x, dim=0)", "F.dropout(x)", "F.dropout(x, training=False)", "F.alpha_dropout(x, training=True)",
    "F.layer_norm(x, x.shape[-1:])", "F.layer_norm(x, x.shape)", "F.group_norm(x, 1)", "F.instance_norm(x)", "F.batch_norm(x, None, None, training=True)", "F.rms_norm(x, x.shape[-1:])", "F.local_response_norm(x, 2)", "F.mse_loss(x, x + 1)", "F.l1_loss(x, x + 1)", "F.smooth_l1_loss(x, x + 1)", "F.huber_loss(x, x + 1)", "F.cross_entropy(x, torch.tensor([0, 1, 2, 0])[:x.shape[0]])", "F.nll_loss(x, torch.tensor([0, 1, 2, 0])[:x.shape[0]])", "F.binary_cross_entropy_with_logits(x, x.sigmoid())", "F.kl_div(x, x)", "F.scaled_dot_product_attention(x, x, x)", "F.scaled_dot_product_attention(x, x, x, is_causal=True)", "F.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool))", "F.multi_margin_loss(x, torch.zeros(x.shape[0], dtype=torch.long))",
    "F.pad(x, (1, 1))", "F.pad(x, (1, -1))", "F.pad(x, (0, 0, 1, 2), value=3.0)", "F.pad(x, (-1, -1, -1, -1))", "F.pad(x, (-9, 9))", "F.pad(x, (1, 1), mode='reflect')", "F.pad(x, (1, 2), mode='replicate')", "F.pad(x, (1, 1), mode='circular')", "F.pad(x, (1, 1, 2, 0), mode='replicate')", "F.pad(x, (1, 1, 2, 0), mode='reflect')", "F.pad(x, (-1, 1, 0, 1), mode='replicate')",
    "F.conv1d(x, torch.ones(2, x.shape[-2], 2, dtype=x.dtype))", "F.conv1d(x, torch.ones(3, 1, 2, dtype=x.dtype), groups=x.shape[-2])", "F.conv1d(x, torch.ones(2, x.shape[-2], 2, dtype=x.dtype), padding='same')", "F.conv1d(x, torch.ones(2, x.shape[-2], 1, dtype=x.dtype), stride=2, padding=1, dilation=2)", "F.conv2d(x, torch.ones(2, 2, 2, 2, dtype=x.dtype))", "F.conv2d(x, torch.ones(4, 1, 2, 2, dtype=x.dtype), torch.ones(4, dtype=x.dtype), groups=2)", "F.conv2d(x, torch.ones(2, 2, 2, 3, dtype=x.dtype), stride=(2, 1), padding=(0, 1), dilation=(1, 2))", "F.conv2d(x, torch.ones(2, 2, 9, 9, dtype=x.dtype), padding=4)", "F.conv3d(x.unsqueeze(1), torch.ones(1, 1, 1, 2, 2, dtype=x.dtype))",
    "F.conv_transpose1d(x, torch.ones(x.shape[-2], 2, 2, dtype=x.dtype))", "F.conv_transpose2d(x, torch.ones(2, 3, 2, 2, dtype=x.dtype), stride=2, output_padding=1)", "F.conv_transpose2d(x, torch.ones(2, 1, 2, 2, dtype=x.dtype), padding=1, groups=2)", "F.unfold(x, 2)", "F.fold(x.reshape(2, 8, -1)[..., :4], (3, 3), 2)",
    "F.avg_pool1d(x, 2)", "F.avg_pool1d(x, 2, padding=1)", "F.avg_pool2d(x, 2)", "F.avg_pool2d(x, (2, 1), 1)", "F.avg_pool2d(x, 2, 1, 1)", "F.avg_pool2d(x, 2, 1, 1, count_include_pad=False)", "F.avg_pool2d(x, 2, ceil_mode=True)", "F.avg_pool2d(x, 2, divisor_override=3)", "F.avg_pool3d(x, 2)", "F.max_pool1d(x, 2)", "F.max_pool2d(x, 2)", "F.max_pool2d(x, 2, 1, 1)", "F.max_pool2d(x, 2, return_indices=True)", "F.max_pool2d(x, 2, ceil_mode=True)", "F.max_pool3d(x, 2)", "F.lp_pool2d(x, 2, 2)", "F.adaptive_avg_pool1d(x, 2)", "F.adaptive_avg_pool2d(x, (3, 1))", "F.adaptive_avg_pool2d(x, None)", "F.adaptive_max_pool2d(x, 2)", "F.adaptive_avg_pool3d(x, 1)",
    "F.interpolate(x[0], scale_factor=2)", "F.pad(x.unsqueeze(0), (1, 2, 0, 1, 1, 0), mode='replicate')", "F.interpolate(x, scale_factor=2)", "F.interpolate(x, size=(7, 3))", "F.interpolate(x, size=7)", "F.interpolate(x, scale_factor=1.5)", "F.interpolate(x, scale_factor=2, mode='bilinear')", "F.interpolate(x, size=(3, 9), mode='bilinear', align_corners=True)", "F.interpolate(x, scale_factor=2, mode='bicubic')", "F.interpolate(x, scale_factor=2, mode='linear')", "F.interpolate(x, size=(3, 3), mode='area')", "F.interpolate(x, scale_factor=2, mode='nearest-exact')", "F.interpolate(x, scale_factor=2.0, recompute_scale_factor=True)", "F.grid_sample(x, torch.zeros(2, 1, 1, 2, dtype=x.dtype), align_corners=False)",
    # deep
    "repeated(torch.sin, x, 400)", "repeated(lambda y: y.flip(0), x, 400)", "repeated(lambda y: y.unsqueeze(0).squeeze(0) + y, x, 100)", "repeated(lambda y: torch.ones_like(y).flip(0) * y, x, 150)",
)  # fmt: skip


def brief():
    """One of each operation."""
    yield from (f"x.{name}()" for name in UNARY)
    yield from (f"torch.{name}(x, x + 1)" for name in PAIRS)
    yield from (f"x.{name}(0)" for name in ALONG)
    yield from OTHER


def expressions():
    """All of them."""
    yield from (f"x.{name}()" for name in UNARY)
    yield from (f"torch.{name}(x, {other})" for name in PAIRS for other in SHIFTED)
    yield from (f"torch.{name}({other}, x)" for name in PAIRS[:24] for other in SHIFTED[3:6])
    yield from (f"x.{name}({dims})" for name in ALONG for dims in DIMS)
    yield from OTHER


def repeated(function, x, count):
    """A function applied to its own results."""
    for _ in range(count):
        x = function(x)
    return x


def setitem(x, index, value):
    """A copy with some elements set."""
    y = x.clone()
    y[index] = value
    return y


NAMES = {
    "torch": torch,
    "F": torch.nn.functional,
    "repeated": repeated,
    "setitem": setitem,
    "CONSTANT_SPARSE": torch.eye(3, dtype=torch.float64).to_sparse(),
}


def function_of(expression, kind):
    """A function of a float64 tensor that gives the results of an expression as a tuple of float64 tensors."""
    code = compile(expression, expression, "eval")

    def function(u):
        results = eval(code, NAMES, {"x": KINDS[kind](u)})
        tensors = [r for r in torch.utils._pytree.tree_leaves(results) if isinstance(r, torch.Tensor)]
        return tuple((r.real if r.is_complex() else r).to(u.dtype) for r in tensors)

    return function


def point(shape):
    """A tensor of a shape at which most functions are defined."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).abs() + 0.1
