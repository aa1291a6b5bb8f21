# SPDX-License-Identifier: MIT
"""Encoders from a checkpoint to embeddings: WordPiece, pooling, dense layers, what is refused."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, Array, llama_tensors, write_json, write_model, write_safetensors

from gristmill import ContextError, Model, TokenizerError, UnsupportedError
from gristmill.convert import convert
from gristmill.gguf import File

CORPUS = ("the cat sat on the mat", "a dog, a house no. 12!", "where is the caf\u00e9?")
BERT: dict[str, Any] = {
    "architectures": ["BertModel"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 48,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
SENTENCES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def _tokenizer(folder: Path, lowercase: bool = True) -> Any:
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=lowercase)
    trained.train_from_iterator(CORPUS, vocab_size=90, show_progress=False)
    library = BertWordPieceTokenizer(trained.get_vocab(), lowercase=lowercase)
    library.save(str(folder / "tokenizer.json"))
    names = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}
    write_json(folder / "tokenizer_config.json", names)
    return library


def _weights(config: dict[str, Any], vocab: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    width, ffn = config["hidden_size"], config["intermediate_size"]

    def make(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32) / 8 + (len(shape) == 1)

    def layer(name: str, rows: int, columns: int) -> dict[str, Array]:
        return {f"{name}.weight": make(rows, columns), f"{name}.bias": make(rows)}

    def norm(name: str) -> dict[str, Array]:
        return {f"{name}.LayerNorm.weight": make(width), f"{name}.LayerNorm.bias": make(width)}

    tensors = {
        "embeddings.word_embeddings.weight": make(vocab, width),
        "embeddings.token_type_embeddings.weight": make(2, width),
        "embeddings.position_embeddings.weight": make(config["max_position_embeddings"], width),
        **norm("embeddings"),
        **layer("pooler.dense", width, width),
    }
    for i in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{i}."
        for part in ("query", "key", "value"):
            tensors |= layer(f"{at}attention.self.{part}", width, width)
        tensors |= layer(f"{at}attention.output.dense", width, width)
        tensors |= norm(f"{at}attention.output") | norm(f"{at}output")
        tensors |= layer(f"{at}intermediate.dense", ffn, width)
        tensors |= layer(f"{at}output.dense", width, ffn)
    return tensors


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder as sentence-transformers writes it, with mean pooling."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    vocab = _tokenizer(folder).get_vocab_size()
    write_json(folder / "config.json", BERT)
    write_safetensors(folder / "model.safetensors", _weights(BERT, vocab))
    write_json(folder / "modules.json", SENTENCES)
    write_json(folder / "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    return folder


def test_keys_and_tokens(bert: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    done = convert(bert, tmp_path / "out.gguf", "f32")
    assert done.notes == ()
    file = File(done.path)
    keys = file.metadata
    assert keys["bert.pooling_type"] == 1
    assert keys["bert.attention.causal"] is False
    assert keys["bert.attention.layer_norm_epsilon"] == pytest.approx(1e-12)
    assert keys["tokenizer.ggml.model"] == "bert"
    assert keys["tokenizer.ggml.token_type_count"] == 2
    assert not any(name.startswith("pooler") or "cls" in name for name in file.tensors)
    model = Model.load(done.path, threads=1)
    assert model.report.notes == ()
    library = Tokenizer.from_file(str(bert / "tokenizer.json"))
    for text in (*CORPUS, "The CAF\u00c9 unknown\u4e16!", "", "[SEP] look-alikes [MASK]"):
        assert model.tokenizer.encode(text) == library.encode(text).ids


@pytest.mark.parametrize("lowercase", [True, False])
def test_case_follows_the_tokenizer(bert: Path, tmp_path: Path, *, lowercase: bool) -> None:
    _tokenizer(bert, lowercase)
    convert(bert, tmp_path / "out.gguf", "f32")
    text = Model.load(tmp_path / "out.gguf", threads=1).tokenizer
    assert (text.encode("CAT") == text.encode("cat")) == lowercase


def test_embeddings(bert: Path, tmp_path: Path) -> None:
    model = Model.load(convert(bert, tmp_path / "out.gguf", "f32").path, threads=1)
    assert (model.pooling, model.embedding_width) == ("mean", 64)
    assert "embedding  64 numbers, pooling 'mean'" in model.report.describe()
    texts = ["the cat sat on the mat", "a dog", ""]
    vectors = model.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((3, 64), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    for i, text in enumerate(texts):  # alone, after a longer text, in another order: the same bits
        assert model.embed(text).tobytes() == vectors[i : i + 1].tobytes()
    raw = model.embed(texts, normalize=False)
    assert (raw / np.linalg.norm(raw, axis=1, keepdims=True)).tobytes() == vectors.tobytes()
    assert model.embed([]).shape == (0, 64)
    other = Model.load(tmp_path / "out.gguf", threads=1, pooling="cls")
    assert not np.allclose(other.embed(texts), vectors, atol=1e-2)


def test_texts_that_are_too_long(bert: Path, tmp_path: Path) -> None:
    model = Model.load(convert(bert, tmp_path / "out.gguf", "f32").path, threads=1)
    assert model.context == BERT["max_position_embeddings"]
    text = "a " * 80
    with pytest.raises(ContextError, match=r"at most 48 tokens here. Text 1 has 82.*truncate"):
        model.embed(["a", text])
    cut = model.embed(text, truncate=True)
    assert cut.tobytes() == model.embed("a " * 46).tobytes()
    with pytest.raises(ContextError, match="embeddings of 48 positions"):
        Model.load(tmp_path / "out.gguf", threads=1, context=49)


def test_what_a_model_cannot_do_says_what_it_can(
    bert: Path, tmp_path: Path, bundled_model: Path
) -> None:
    (bert / "modules.json").unlink()
    path = convert(bert, tmp_path / "out.gguf", "f32").path
    model = Model.load(path, threads=1)
    assert model.pooling == "none"
    with pytest.raises(UnsupportedError, match="does not say how.*pooling='mean'"):
        model.embed("the cat")
    assert Model.load(path, threads=1, pooling="last").embed("the cat").shape == (1, 64)
    with pytest.raises(UnsupportedError, match="no scores of documents"):
        Model.load(path, threads=1, pooling="cls").rerank("cat", ["a cat"])
    with pytest.raises(UnsupportedError, match="not their continuation"):
        model.session()
    with pytest.raises(UnsupportedError, match="one of: none, mean, cls, last, rank. Got 'max'"):
        Model.load(path, threads=1, pooling="max")
    with pytest.raises(UnsupportedError, match="needs its classifier"):
        Model.load(path, threads=1, pooling="rank")
    tales = Model.load(bundled_model, threads=1)
    with pytest.raises(UnsupportedError, match="loaded to generate text.*pooling='last'"):
        tales.embed("Once")


def test_a_generator_embeds_when_it_is_told_how(bundled_model: Path) -> None:
    """Through its last hidden state; the vector of a prefix is another one."""
    model = Model.load(bundled_model, threads=1, pooling="last")
    vectors = model.embed(["Once upon a time", "Once upon a day", "Once upon a time there was"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-2
    again = model.embed("Once upon a time")
    assert again.tobytes() == vectors[:1].tobytes()


def test_a_reranker(bert: Path, tmp_path: Path) -> None:
    config = BERT | {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "x"}}
    weights = _weights(BERT, _vocab_size(bert))
    tensors = {f"bert.{name}": array for name, array in weights.items()}
    tensors["classifier.weight"] = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    tensors["classifier.bias"] = np.ones(1, np.float32)
    write_json(bert / "config.json", config)
    write_safetensors(bert / "model.safetensors", tensors)
    (bert / "modules.json").unlink()
    model = Model.load(convert(bert, tmp_path / "out.gguf", "f32").path, threads=1)
    assert (model.pooling, model.embedding_width) == ("rank", 1)
    assert model.metadata["bert.classifier.output_labels"] == ["x"]
    scores = model.rerank("where is the cat", ["on the mat", "a dog", "a house"])
    assert scores.shape == (3,)
    assert len(set(scores.tolist())) == 3
    assert model.rerank("where is the cat", ["a dog"])[0] == scores[1]
    with pytest.raises(UnsupportedError, match="has no embeddings"):
        model.embed("the cat")


def _vocab_size(folder: Path) -> int:
    return len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])


def test_dense_layers_follow_the_pooling(bert: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {"2_Dense": (96, 64), "3_Dense": (32, 96)}
    modules, matrices = list(SENTENCES), []
    for name, shape in shapes.items():
        (bert / name).mkdir()
        matrices.append(rng.standard_normal(shape, dtype=np.float32) / 8)
        write_safetensors(bert / name / "model.safetensors", {"linear.weight": matrices[-1]})
        modules.append({"path": name, "type": "sentence_transformers.models.Dense"})
    plain = Model.load(convert(bert, tmp_path / "plain.gguf", "f32").path, threads=1)
    write_json(bert / "modules.json", modules)
    done = convert(bert, tmp_path / "out.gguf", "f32")
    model = Model.load(done.path, threads=1)
    assert model.metadata["bert.dense_3_feat_out"] == 32
    inner = plain.embed(CORPUS, normalize=False) @ matrices[0].T
    expected = inner @ matrices[1].T
    assert np.abs(model.embed(CORPUS, normalize=False) - expected).max() < 1e-5


def test_what_wordpiece_cannot_say(bert: Path, tmp_path: Path) -> None:
    path = bert / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["continuing_subword_prefix"] = "@@"
    write_json(path, data)
    with pytest.raises(TokenizerError, match="as BERT does. Got '@@'"):
        convert(bert, tmp_path / "out.gguf")


def test_a_reranker_that_answers_yes_or_no(tmp_path: Path) -> None:
    """Its scores are what the output layer of the generator says of the two words."""
    config = LLAMA | {"architectures": ["Qwen3ForCausalLM"], "head_dim": 16}
    config["max_position_embeddings"] = 512
    tensors = llama_tensors(config)
    for i in range(config["num_hidden_layers"]):
        for part in ("q_norm", "k_norm"):
            tensors[f"model.layers.{i}.self_attn.{part}.weight"] = np.ones(16, np.float32)
    folder = write_model(tmp_path / "Tiny-Reranker", config, tensors)
    data = json.loads((folder / "tokenizer.json").read_text())
    for token, text in ((512, "yes"), (513, "no")):
        data["model"]["vocab"][text] = token
    write_json(folder / "tokenizer.json", data)
    path = convert(folder, tmp_path / "out.gguf", "f32").path
    model = Model.load(path, threads=1)
    assert (model.pooling, model.embedding_width) == ("rank", 2)
    scores = model.rerank("the cat?", ["A cat sat.", "{query} {document}", "Nothing."])
    plain = Model.load(path, threads=1, pooling="")
    template = str(model.metadata["tokenizer.chat_template.rerank"])
    before, between, after = re.split(r"\{query\}|\{document\}", template)
    for score, document in zip(scores, ["A cat sat.", "{query} {document}"], strict=False):
        session = plain.session()
        session.append(plain.tokenizer.encode(f"{before}the cat?{between}{document}{after}"))
        yes, no = session.logits()[-1, [512, 513]]
        assert score == pytest.approx(1 / (1 + np.exp(no - yes)), abs=1e-5)


def _unigram(folder: Path, model: Path) -> Any:
    """A tokenizer as XLM-RoBERTa's: tokens of its own, then the pieces of a SentencePiece model."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    from gristmill.convert.sentencepiece_vocabulary import from_model

    source = from_model(model)
    assert source.scores is not None
    known = [(t, s) for t, s in zip(source.tokens, source.scores, strict=True) if t[:1] != "<"]
    first = [(text, 0.0) for text in ("<s>", "<pad>", "</s>", "<unk>")]
    library = Tokenizer(models.Unigram([*first, *known, ("<mask>", 0.0)], unk_id=3))
    library.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(source.extra["precompiled_charsmap"].tobytes()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    library.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    library.save(str(folder / "tokenizer.json"))
    names = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>"}
    config = {f"{role}_token": text for role, text in names.items()}
    write_json(folder / "tokenizer_config.json", config)
    return library


def test_xlm_roberta(bert: Path, tmp_path: Path, data_dir: Path) -> None:
    """Positions begin behind that of padding; the tokenizer is unigram."""
    import sentencepiece

    trained = io.BytesIO()
    text = (data_dir / "make_tokenizer.py").read_text(encoding="utf-8").splitlines()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=trained, vocab_size=200, minloglevel=2
    )
    (tmp_path / "unigram.model").write_bytes(trained.getvalue())
    library = _unigram(bert, tmp_path / "unigram.model")
    config = BERT | {"architectures": ["XLMRobertaModel"], "pad_token_id": 1}
    weights = _weights(config, library.get_vocab_size())
    write_json(bert / "config.json", config)
    write_safetensors(
        bert / "model.safetensors", {f"roberta.{name}": array for name, array in weights.items()}
    )
    done = convert(bert, tmp_path / "out.gguf", "f32")
    assert done.notes == ()
    model = Model.load(done.path, threads=1)
    assert model.context == BERT["max_position_embeddings"] - 2
    assert np.array_equal(
        File(done.path).data("position_embd.weight"),
        weights["embeddings.position_embeddings.weight"][2:],
    )
    assert model.tokenizer.source.startswith("SentencePiece unigram")
    for text in ("the rabbit took  a watch", "\uff21lice \ufb01", "\u4e16 unknown", "a<mask>b", ""):
        assert model.tokenizer.encode(text) == library.encode(text).ids, text
    assert model.embed(["the rabbit", "Alice"]).shape == (2, 64)


def test_the_token_that_closes_a_text_is_the_end(tmp_path: Path) -> None:
    """Qwen3-Embedding closes texts with a token that is not the end of a turn."""
    from tokenizers import Tokenizer, processors

    config = LLAMA | {"architectures": ["LlamaForCausalLM"]}
    folder = write_model(tmp_path / "model", config)
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    closing = library.token_to_id("<|endoftext|>")
    library.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", closing)]
    )
    library.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    plain = File(convert(folder, tmp_path / "plain.gguf", "f32").path).metadata
    assert plain["tokenizer.ggml.eos_token_id"] == library.token_to_id("<|im_end|>")
    (folder / "1_Pooling").mkdir()
    write_json(folder / "modules.json", SENTENCES)
    write_json(folder / "1_Pooling/config.json", {"pooling_mode_lasttoken": True})
    done = convert(folder, tmp_path / "out.gguf", "f32")
    assert done.notes == ()
    model = Model.load(done.path, threads=1)
    assert model.pooling == "last"
    assert model.tokenizer.encode("Alice") == library.encode("Alice").ids
    assert model.tokenizer.encode("Alice")[-1] == closing
