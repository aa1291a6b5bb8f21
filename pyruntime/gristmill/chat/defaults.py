# SPDX-License-Identifier: MIT
"""A chat template for files that bring none, chosen by the turn markers in their vocabulary.

A model tuned for chat has its family's markers as tokens of its own; without any, the conversation
is written as plain text, which is the best that can be done for a base model. The choice is a
guess and is reported as one.
"""

from __future__ import annotations

from gristmill.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import TokenType

_CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{{ '<|im_start|>assistant\\n' if add_generation_prompt }}"""
_LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
{{- message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' if add_generation_prompt }}"""
_GEMMA = """\
{{- bos_token -}}
{%- set first = messages[0].content | trim + '\\n\\n' if messages[0].role == 'system' else '' -%}
{%- for message in messages if message.role != 'system' -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
{{- (first if loop.first else '') + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{{ '<start_of_turn>model\\n' if add_generation_prompt }}"""
_PHI3 = """\
{%- for message in messages -%}
{{ '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}
{%- endfor -%}
{{ '<|assistant|>\\n' if add_generation_prompt }}"""
_MISTRAL = """\
{{- bos_token -}}
{%- set first = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' -%}
{%- for message in messages if message.role != 'system' -%}
{{ '[INST] ' + (first if loop.first else '') + message.content + ' [/INST]'
   if message.role == 'user' else ' ' + message.content | trim + eos_token }}
{%- endfor -%}"""
_PLAIN = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ message.role | capitalize + ': ' + message.content | trim + '\\n\\n' }}
{%- endfor -%}
{{ 'Assistant:' if add_generation_prompt }}"""

# name, tokens that must all be in the vocabulary, template
_FAMILIES = (
    ("ChatML", ("<|im_start|>", "<|im_end|>"), _CHATML),
    ("Llama 3", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), _LLAMA3),
    ("Gemma", ("<start_of_turn>", "<end_of_turn>"), _GEMMA),
    ("Phi-3", ("<|user|>", "<|assistant|>", "<|end|>"), _PHI3),
    ("Mistral", ("[INST]", "[/INST]"), _MISTRAL),
)


def default_template(tokenizer: Tokenizer) -> tuple[str, str]:
    """A template for a model without one.

    Args:
        tokenizer: Its vocabulary decides.

    Returns:
        The Jinja source, and a note for the load report that says which was chosen and why.
    """
    wanted = {marker for _, markers, _ in _FAMILIES for marker in markers}
    special = (TokenType.CONTROL, TokenType.USER_DEFINED)
    found = {
        text
        for token in range(tokenizer.vocab_size)
        if (text := tokenizer.token_text(token)) in wanted
        and tokenizer.token_type(token) in special
    }
    for name, markers, source in _FAMILIES:
        if found.issuperset(markers):
            return source, (
                f"the file has no chat template: {name}'s is used, whose markers it has as tokens"
            )
    return _PLAIN, (
        "the file has no chat template and no known turn markers: chat is written as plain text"
    )
