# SPDX-License-Identifier: MIT
"""Makes tests/data/tokenizer: tiny vocabularies trained by the libraries themselves.

- sentencepiece.model: 512 pieces, BPE with byte fallback, user-defined and control symbols.
- bytelevel.json: a byte-level BPE of 512 tokens from the tokenizers library.

Run it from anywhere; the files are checked in, so that tests need no training.
The text is by Lewis Carroll (1865 and 1871), public domain.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "tokenizer"
TEXT = """\
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing
to do: once or twice she had peeped into the book her sister was reading, but it had no pictures
or conversations in it, "and what is the use of a book," thought Alice "without pictures or
conversations?"
So she was considering in her own mind (as well as she could, for the hot day made her feel very
sleepy and stupid), whether the pleasure of making a daisy-chain would be worth the trouble of
getting up and picking the daisies, when suddenly a White Rabbit with pink eyes ran close by her.
There was nothing so very remarkable in that; nor did Alice think it so very much out of the way
to hear the Rabbit say to itself, "Oh dear! Oh dear! I shall be late!" (when she thought it over
afterwards, it occurred to her that she ought to have wondered at this, but at the time it all
seemed quite natural); but when the Rabbit actually took a watch out of its waistcoat-pocket, and
looked at it, and then hurried on, Alice started to her feet, for it flashed across her mind that
she had never before seen a rabbit with either a waistcoat-pocket, or a watch to take out of it,
and burning with curiosity, she ran across the field after it, and fortunately was just in time to
see it pop down a large rabbit-hole under the hedge.
In another moment down went Alice after it, never once considering how in the world she was to get
out again.
'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.
"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"
He took his vorpal sword in hand;
Long time the manxome foe he sought--
So rested he by the Tumtum tree
And stood awhile in thought.
And, as in uffish thought he stood,
The Jabberwock, with eyes of flame,
Came whiffling through the tulgey wood,
And burbled as it came!
One, two! One, two! And through and through
The vorpal blade went snicker-snack!
He left it dead, and with its head
He went galumphing back.
"And hast thou slain the Jabberwock?
Come to my arms, my beamish boy!
O frabjous day! Callooh! Callay!"
He chortled in his joy.
"""


def train_sentencepiece(**options: Any) -> bytes:
    """A model trained by SentencePiece; one thread, so that the result is always the same."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=model,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def sentencepiece_model() -> bytes:
    """BPE with byte fallback; nothing is normalized."""
    return train_sentencepiece(
        model_type="bpe",
        vocab_size=512,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        control_symbols=["<|im_start|>", "<|im_end|>"],
        user_defined_symbols=["\n\n", "<mark>"],
    )


def unigram_model() -> bytes:
    """Unigram with a normalization table (of 230 KB, which is why it is not checked in)."""
    return train_sentencepiece(model_type="unigram", vocab_size=256, pad_id=3)


def bytelevel_model() -> None:
    """Trains with the tokenizers library, and GPT-2's pre-tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    tokenizer.save(str(FOLDER / "bytelevel.json"), pretty=False)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "sentencepiece.model").write_bytes(sentencepiece_model())
    bytelevel_model()
