# SPDX-License-Identifier: MIT
"""Names of general.architecture that other runtimes have and this one does not have yet.

A file of such a name is refused with the nearest architecture that runs. A name leaves this table
when a class registers it.
"""

from __future__ import annotations

# The nearest that runs -> names. Nearest in origin, else in what people use the models for.
_INSTEAD = {
    "llama": (
        "apertus arcee arctic arwkv7 baichuan bitnet bloom chameleon codeshell cogvlm cohere2 "
        "cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 "
        "dots1 dots3note eagle3 exaone exaone-moe exaone4 falcon falcon-h1 gpt2 gptj gptneox grok "
        "hrm_text internlm2 jais jais2 jamba kimi-k3 kimi-linear laguna llama4 mamba mamba2 "
        "maple mellum minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mpt muse-glimmer nanbeige "
        "nemotron nemotron_h nemotron_h_moe openelm orion pangu-embedded plamo plamo2 plamo3 "
        "plm rwkv6 rwkv7 seed_oss spark2_5 stablelm talkie xverse"
    ),
    "mistral3": "mistral4",
    "qwen2": (
        "dream llada llada-moe maincoder mimo2 paddleocr qwen qwen2vl refact rwkv6qwen2 "
        "starcoder starcoder2"
    ),
    "qwen3": (
        "afmoe bailingmoe bailingmoe2 bailingmoe3 dflash ernie4_5 ernie4_5-moe grovemoe "
        "hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 qwen3next "
        "qwen3vl qwen3vlmoe qwen4exp rnd1 step35"
    ),
    "gemma3": "gemma3n gemma4 gemma4-assistant",
    "phi3": "phi2 phimoe",
    "smollm3": "smallthinker",
    "lfm2": "lfm2moe",
    "qwen35": "qwen35moe",
    "granite": "granite_swa granitehybrid graniteswitch",
    "olmo2": "olmo",
    "glm4": "chatglm glm-dsa glm4moe glm5-next",
}
# What these are for has no architecture here at all.
_NOTHING_LIKE_IT = {
    "texts become vectors": (
        "eurobert jina-bert-v2 jina-bert-v3 llama-embed neo-bert nomic-bert-moe"
    ),
    "an encoder reads the text": "t5 t5encoder",
    "images are read": "clip",
    "sound is made": "pockettts qwen3tts wavtokenizer-dec",
}

NEAREST = {name: nearest for nearest, names in _INSTEAD.items() for name in names.split()}
ALONE = {name: use for use, names in _NOTHING_LIKE_IT.items() for name in names.split()}


def why_not(architecture: str, running: tuple[str, ...]) -> str:
    """One sentence on a name that is not registered, for an error message.

    Args:
        architecture: The name in the file.
        running: The names that are registered.
    """
    if architecture in NEAREST:
        return (
            f"The architecture {architecture!r} is known, but not supported yet. "
            f"Hint: the nearest that runs is {NEAREST[architecture]!r}."
        )
    if architecture in ALONE:
        return (
            f"The architecture {architecture!r} is known, but not supported yet, nor is any other "
            f"by which {ALONE[architecture]}."
        )
    return f"The architecture must be one of: {', '.join(running)}. Got {architecture!r:.60}."
