"""Operations that are replaced by simpler ones before they are differentiated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

LARGEST_DETERMINANT = 4
"""Larger ones would need a factorisation; the expansion grows as the factorial."""


def determinant(a: Tensor) -> Tensor:
    """The determinant of one or more matrices by expansion, right and differentiable for singular ones too."""
    n = a.shape[-1]
    if n > LARGEST_DETERMINANT:
        raise NotImplementedError(f"determinants of matrices larger than {LARGEST_DETERMINANT} x {LARGEST_DETERMINANT}")
    if n == 0:
        return a.new_ones(a.shape[:-2])
    if n == 1:
        return a[..., 0, 0]
    below = a[..., 1:, :]
    total = a[..., 0, 0] * determinant(below[..., 1:])
    for k in range(1, n):
        minor = determinant(torch.cat([below[..., :k], below[..., k + 1 :]], -1))
        total = total + (-1) ** k * a[..., 0, k] * minor
    return total


def _det(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # The factors are for torch's own derivative, which is not used unless f itself differentiates a determinant.
    factors, pivots, _ = torch.linalg.lu_factor_ex(a)
    return determinant(a), factors, pivots


def _slogdet(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    value, factors, pivots = _det(a)
    return value.sign(), value.abs().log(), factors, pivots


def _cdist(a: Tensor, b: Tensor, p: float, compute_mode: int | None) -> Tensor:
    return torch.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    if dropout_p:
        raise NotImplementedError("attention with dropout")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = factor * (query @ key.mT)
    if is_causal:
        rows, columns = scores.shape[-2:]
        allowed = torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    if attn_mask is not None:
        scores = scores + attn_mask
    masked = scores.amax(-1, keepdim=True) == -torch.inf  # whole rows, of which the result is zero
    weights = scores.masked_fill(masked, 0.0).softmax(-1).masked_fill(masked, 0.0)
    # in memory the heads of one position lie together, which views of the result rely on
    result = (weights @ value).transpose(1, 2).contiguous().transpose(1, 2)
    return result, scores.logsumexp(-1)


def _searchsorted(
    sorted_sequence: Tensor,
    values: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    if sorter is not None:
        raise NotImplementedError("searchsorted with a sorter")
    row = sorted_sequence if sorted_sequence.ndim == 1 else sorted_sequence.unsqueeze(-2)
    value = values.unsqueeze(-1)
    after = row > value if right or side == "right" else row >= value
    return (~after).sum(-1, dtype=torch.int32 if out_int32 else torch.int64)  # all of them for NaN, as in torch


def _bucketize(values: Tensor, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    return _searchsorted(boundaries, values, out_int32=out_int32, right=right)


def _copy(a: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    # what is left of `a.copy_(source)`, for which torch has no derivative
    return source.to(a.dtype).expand(a.shape).clone()


def _converting(operation: Any) -> Callable[..., Tensor]:
    # torch's own decomposition promotes the two, where the operation converts to the dtype of `a`
    decomposition = get_decompositions([operation])[operation]

    def decomposed(a: Tensor, source: Tensor, *where: Any, **named: Any) -> Tensor:
        return decomposition(a, source.to(a.dtype), *where, **named)

    return decomposed


DIFFERENTIABLE: dict[Any, Callable[..., Any]] = {
    torch.ops.aten._linalg_det.default: _det,
    torch.ops.aten._linalg_slogdet.default: _slogdet,
    torch.ops.aten._cdist_forward.default: _cdist,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    torch.ops.aten.searchsorted.Tensor: _searchsorted,
    torch.ops.aten.bucketize.Tensor: _bucketize,
    torch.ops.aten.copy.default: _copy,
}
"""Torch has no derivative for them, or one that has no rule or no derivative of its own."""

_TORCHS_OWN = (
    torch.ops.aten.upsample_bilinear2d.default,
    torch.ops.aten.upsample_bilinear2d.vec,
)
DIFFERENTIABLE |= get_decompositions(_TORCHS_OWN)

_TORCHS_OWN_CONVERTED = (torch.ops.aten.select_scatter.default, torch.ops.aten.slice_scatter.default)
DIFFERENTIABLE |= {operation: _converting(operation) for operation in _TORCHS_OWN_CONVERTED}
