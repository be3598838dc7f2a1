"""Seeing what attention a network applies, whoever wrote it, while it runs.

Nothing in the network is replaced: for one call, hooks say which attention module is running, and
a function mode looks at the softmax or the fused kernel that it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vidattn.attention.masking import single_precision
from vidattn.attention.observe import RecordingError


@dataclass(eq=False)
class AttentionCall:
    """One call of one attention module.

    Attributes:
        inputs: the positional arguments of its forward method.
        weights: (B, heads, Q, K) of each attention that it applied, before any dropout; B is
            whatever the network folded into the batch.
    """

    inputs: tuple[Any, ...]
    weights: list[Tensor] = field(default_factory=list)

    def only_weights(self, path: str) -> Tensor:
        """The weights, of a module that applies attention once.

        Raises:
            RecordingError: it called no known kernel, or several.
        """
        if len(self.weights) != 1:
            raise RecordingError(
                f"{path}: expected one softmax or scaled_dot_product_attention, saw "
                f"{len(self.weights)}; choose the network's eager or sdpa attention"
            )
        weights = self.weights[0]
        return weights if weights.ndim == 4 else weights.unsqueeze(0)


Done = Callable[[AttentionCall], None]


@contextmanager
def captured(modules: Mapping[nn.Module, Done]) -> Iterator[None]:
    """Tell each function what its module did, after every call of it inside this block."""
    running: list[AttentionCall] = []

    def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        running.append(AttentionCall(inputs))

    def end(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        modules[module](running.pop())

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(begin).remove)
            stack.callback(module.register_forward_hook(end).remove)
        stack.enter_context(_Kernels(running))
        yield


class _Kernels(TorchFunctionMode):
    """Keeps the weights that the innermost running module's kernels applied."""

    def __init__(self, running: list[AttentionCall]) -> None:
        super().__init__()
        self.running = running

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.running and func in _READERS:
            with torch.no_grad():
                self.running[-1].weights.append(_READERS[func](out, args, kwargs))
        return out


def _softmax(out: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    # A copy: the network may go on in place.
    return single_precision(out.detach()).clone()


def _fused(out: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return fused_weights(*args, **kwargs)


def fused_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """(…, Q, K): the weights that `scaled_dot_product_attention` applies but does not return."""
    with torch.autocast(query.device.type, enabled=False):
        query = single_precision(query) * (query.shape[-1] ** -0.5 if scale is None else scale)
        key = single_precision(key)
        if enable_gqa:
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
        scores = query @ key.transpose(-2, -1)
        if is_causal:
            kept = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~kept, float("-inf"))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        elif attn_mask is not None:
            scores = scores + attn_mask
        # A query that may see nothing: the fused kernels give 0.
        return scores.softmax(-1).nan_to_num(0.0)


def _multi_head(out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    # Its weights are inside, past the fused kernel: it is asked once more, for them only.
    given = signature(F.multi_head_attention_forward).bind(*args, **kwargs).arguments
    asked = {"need_weights": True, "average_attn_weights": False, "is_causal": False}
    _, weights = F.multi_head_attention_forward(**{**given, **asked, "training": False})
    if weights is None:
        raise RecordingError("multi_head_attention_forward: it returned no weights")
    return weights


_READERS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.softmax: _softmax,
    torch.softmax: _softmax,
    Tensor.softmax: _softmax,
    F.scaled_dot_product_attention: _fused,
    F.multi_head_attention_forward: _multi_head,
}
