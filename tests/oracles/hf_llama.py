# SPDX-License-Identifier: MIT
"""A GGUF file as a transformers LlamaForCausalLM: the oracle of the forward pass.

Everything on this side is somebody else's code: the gguf package reads and dequantizes, torch
multiplies. GGUF stores q and k rows so that RoPE turns neighbours (2i, 2i + 1); transformers turns
(i, i + half), so those rows are put back in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import gguf

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def _pairs_to_halves(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    rows, columns = weight.shape
    split = weight.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, columns))


def _metadata(reader: gguf.GGUFReader) -> dict[str, Any]:
    prefix = "llama."
    keys = (key for key in reader.fields if key.startswith(prefix))
    return {key.removeprefix(prefix): reader.fields[key].contents() for key in keys}


def _name(tensor: str) -> str:
    if tensor in OUTER:
        return OUTER[tensor]
    _, layer, kind, suffix = tensor.split(".")
    return f"model.layers.{layer}.{NAMES[kind]}.{suffix}"


def llama_from_gguf(path: Path) -> LlamaForCausalLM:
    """Builds the model with F32 weights, dequantized where the file has blocks.

    Args:
        path: a GGUF file of the LLaMA architecture.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = gguf.GGUFReader(path)
    meta = _metadata(reader)
    heads, kv_heads = meta["attention.head_count"], meta["attention.head_count_kv"]
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    factors = weights.pop("rope_freqs.weight", None)
    tied = "output.weight" not in weights
    base = float(meta.get("rope.freq_base", 10000.0))
    config = LlamaConfig(
        hidden_size=meta["embedding_length"],
        intermediate_size=meta["feed_forward_length"],
        num_hidden_layers=meta["block_count"],
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=weights["blk.0.attn_q.weight"].shape[0] // heads,
        vocab_size=weights["token_embd.weight"].shape[0],
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"],
        rope_theta=base,  # transformers 4; version 5 reads the next line
        rope_parameters={"rope_type": "default", "rope_theta": base},
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).float().eval()
    state = {}
    for name, weight in weights.items():
        value = np.array(weight, dtype=np.float32)
        if ".attn_q." in name or ".attn_k." in name:
            value = _pairs_to_halves(value, heads if ".attn_q." in name else kv_heads)
        state[_name(name)] = torch.from_numpy(value)
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    rotary = model.model.rotary_emb.inv_freq
    exponents = torch.arange(0, config.head_dim, 2) / config.head_dim
    torch.testing.assert_close(rotary, 1.0 / base**exponents)
    if factors is not None:
        model.model.rotary_emb.inv_freq /= torch.from_numpy(np.array(factors))
    return model


def _int8(block: int) -> Callable[..., Any]:
    """A hook that rounds a layer's input to INT8 with one scale per block of values."""
    import torch

    def hook(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0].reshape(-1, block)
        scale = x.abs().amax(-1, keepdim=True) / 127
        inverse = torch.where(scale > 0, 1 / scale, 0)
        return ((torch.round(x * inverse) * scale).reshape(inputs[0].shape),)

    return hook


@contextlib.contextmanager
def _imitation(model: LlamaForCausalLM, path: Path) -> Iterator[None]:
    """Rounds what the numerics contract rounds: keys and values to F16, activations to INT8.

    Keys are rounded behind RoPE. Activations have one scale per 32 values before weights of
    32-blocks, per 256 before super-blocks, and stay as they are before F32, F16 and BF16.
    """
    from transformers.models.llama import modeling_llama

    rotate = modeling_llama.apply_rotary_pos_emb

    def rotate_and_round(q: Any, k: Any, *args: Any, **kwargs: Any) -> Any:
        q, k = rotate(q, k, *args, **kwargs)
        return q, k.half().float()

    hooks = [
        layer.self_attn.v_proj.register_forward_hook(lambda _, __, v: v.half().float())
        for layer in model.model.layers
    ]
    types = {t.name: t.tensor_type for t in gguf.GGUFReader(path).tensors if len(t.shape) == 2}
    output = types.get("output.weight", types.pop("token_embd.weight"))
    for name, kind in (types | {"output.weight": output}).items():
        block = gguf.GGML_QUANT_SIZES[kind][0]
        if block > 1:
            module = model.get_submodule(_name(name).removesuffix(".weight"))
            hooks.append(module.register_forward_pre_hook(_int8(block)))
    modeling_llama.apply_rotary_pos_emb = rotate_and_round
    try:
        yield
    finally:
        modeling_llama.apply_rotary_pos_emb = rotate
        for hook in hooks:
            hook.remove()


def hf_logits(
    model: LlamaForCausalLM, tokens: NDArray[np.int32], imitate: Path | None = None
) -> NDArray[np.float32]:
    """Logits [T, V] of one sequence.

    Args:
        model: from llama_from_gguf.
        tokens: [T] i32.
        imitate: the GGUF file, to round what our numerics contract rounds; None: plain F32.
    """
    import torch

    rounding = contextlib.nullcontext() if imitate is None else _imitation(model, imitate)
    with torch.no_grad(), rounding:
        output = model(torch.from_numpy(tokens.astype(np.int64))[None])
    return output.logits[0].numpy()
