# SPDX-License-Identifier: MIT
"""A loaded model: packed weights, tokenizer, chat template, and the report of how it was loaded.

Loading goes from cheap to dear, so that a bad file fails before anything is packed: header, plan,
tokenizer, template, then the weights. A Model is immutable and shared by its sessions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from . import _core, gguf, hub, panel_cache, tokenizer
from .blueprint import Blueprint
from .chat.from_gguf import read_template
from .choices import choose_isa, choose_threads
from .embedding import Embedder, Vectors
from .errors import UnsupportedError
from .generate import AsyncGeneration, Generation
from .kv import KvType, checked
from .loading import Progress, cache_reporter, load_core, make_report
from .report import LoadReport
from .sampling import SamplingParams
from .sampling.defaults import describe_defaults, read_defaults
from .session import Session

if TYPE_CHECKING:
    from .chat.template import ChatTemplate
    from .constrain import Vocabulary
    from .constrain.grammar import Schema

Prompt = str | Sequence[int] | Sequence[Mapping[str, object]]


class Model:
    """Weights, tokenizer and chat template of one GGUF file. Make it with `Model.load`.

    Example:
        >>> model = Model.load()  # the bundled model
        >>> print(model.report.describe())
        >>> for piece in model.generate("Once upon a time", max_tokens=40):
        ...     print(piece.text, end="")
    """

    def __init__(  # noqa: PLR0917
        self,
        core: _core.Model,
        file: gguf.File,
        blueprint: Blueprint,
        text: tokenizer.Tokenizer,
        template: ChatTemplate | None,
        report: LoadReport,
    ) -> None:
        """Not for callers: see `load`."""
        self.tokenizer = text
        self.chat_template = template
        self.report = report
        self._core = core
        self._file = file
        self._blueprint = blueprint
        self._max_batch = blueprint.max_batch
        self._embedder = Embedder(core, blueprint.require(), text, self.context, report.name)
        self._default_session: Session | None = None
        self._constrainer: Vocabulary | None = None
        self.sampling = read_defaults(file.metadata)[0]

    @classmethod
    def load(
        cls,
        path_or_name: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        context: int | None = None,
        isa: str | None = None,
        max_batch: int = 512,
        kv: KvType = "f16",
        pooling: str | None = None,
        cache: bool = True,
        progress: Progress | None = None,
    ) -> Model:
        """Loads a GGUF file.

        Args:
            path_or_name: A file (the first of a split model), or a name; None: the bundled model.
            threads: Worker threads; None: what suits the machine (the report says why).
            context: Tokens a session holds; None: what the model was trained on, at most 4096.
            isa: Kernel level such as "avx2"; None: the best one here, or GRISTMILL_ISA.
            max_batch: Most tokens in one forward pass.
            kv: How sessions keep keys and values: "f16", "q8_0" or "q4_0"; see `gristmill.kv`.
            pooling: How texts become vectors: "mean", "cls", "last"; None: as the file says.
            cache: Map packed weights from the panel cache, or fill it; `gristmill cache --help`.
            progress: Called with bytes done and bytes in all, from the loading thread.

        Raises:
            ResourceError: The file cannot be read, or memory or threads ran out.
            FormatError, ShapeError, UnsupportedError, TokenizerError, TemplateError: The file is
                damaged, or needs something that this build lacks.
            ValueError: An option is out of range.
        """
        _check_options(threads, context, max_batch)
        began = time.perf_counter()
        file = gguf.File(hub.resolve(path_or_name))
        isa_name, isa_why = choose_isa(isa)
        count, threads_why = choose_threads(threads, file.nbytes)
        blueprint = Blueprint.of(
            file, context, max_batch, threads=count, isa=isa_name, kv=kv, pooling=pooling
        )
        plan = blueprint.require_core_plan()
        text = tokenizer.from_metadata(file.metadata)
        template, template_source, notes = read_template(file.metadata, text)
        _, taken, sampling_notes = read_defaults(file.metadata)
        core, use = load_core(file, plan, count, isa_name, progress=progress, cache=cache)
        report = replace(
            make_report(file, blueprint, core, text),
            isa_why=isa_why,
            threads_why=threads_why,
            kv=kv,
            template_source=template_source,
            sampling=describe_defaults(taken),
            cache=use,
            load_seconds=time.perf_counter() - began,
            notes=(*text.notes, *notes, *sampling_notes),
        )
        model = cls(core, file, blueprint, text, template, report)
        if use.state == "writing":
            panel_cache.Writer(core, cache_reporter(model)).start()
        return model

    @property
    def core(self) -> _core.Model:
        """The object of the C++ core."""
        return self._core

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The file's metadata."""
        return self._file.metadata

    @property
    def vocab_size(self) -> int:
        """Number of logits V."""
        return self._core.vocab_size

    @property
    def threads(self) -> int:
        """Worker threads in use."""
        return self._core.threads

    @property
    def isa(self) -> str:
        """Kernel level in use."""
        return self._core.isa

    @property
    def context(self) -> int:
        """Tokens that a session holds unless it is told otherwise."""
        return self._blueprint.context

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that one decoded token reads."""
        return self._core.weight_bytes

    @property
    def token_bytes(self) -> int:
        """Bytes that one decoded token reads and writes besides the KV cache.

        Weights are read; recurrent states are read and written.
        """
        return self.weight_bytes + 2 * self._blueprint.require().state_bytes

    @property
    def macs_per_token(self) -> int:
        """Multiply-accumulates of all linear layers per token, without the output layer."""
        return self._blueprint.require().macs_per_token

    @property
    def macs_per_logits_row(self) -> int:
        """Multiply-accumulates of the output layer, per token whose logits are wanted."""
        return self._blueprint.require().macs_per_logits_row

    @property
    def kv(self) -> KvType:
        """Type of a session's KV cache unless it is told otherwise."""
        return checked(self.report.kv)

    @property
    def constrainer(self) -> Vocabulary:
        """The vocabulary as `gristmill.constrain` wants it, made when first asked for.

        Raises:
            ResourceError: llguidance is not installed.
            UnsupportedError: No token ends a text.
        """
        if self._constrainer is None:
            from .constrain import Vocabulary

            self._constrainer = Vocabulary(self.tokenizer, self.vocab_size)
        return self._constrainer

    def session(
        self,
        context: int | None = None,
        all_logits: bool = False,
        kv: KvType | None = None,
    ) -> Session:
        """A new, empty session.

        Args:
            context: Tokens it can hold; None: `self.context`.
            all_logits: Keep the logits of every token of a batch, not only of the last.
            kv: How it keeps keys and values: "f16", "q8_0" or "q4_0"; None: `self.kv`.

        Raises:
            UnsupportedError: No such KV type, or the model's heads are no whole blocks of it; or
                the model gives embeddings.
            ResourceError: There is not enough memory for its cache.
        """
        self._embedder.require("")
        _check_options(None, context, 1)
        size = self.context if context is None else context
        batch = min(self._max_batch, size)
        return Session(self, _core.Session(self._core, size, batch, all_logits, kv or self.kv))

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        sampling: SamplingParams | None = None,
        ignore_eos: bool = False,
        logprobs: int = 0,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
        special: bool = False,
    ) -> Generation:
        """`Session.generate` in a session that this model keeps for the purpose.

        Calls share its cache, so one generation runs at a time; for more, make sessions.
        """
        return self._own_session().generate(
            prompt,
            max_tokens=max_tokens,
            stop=stop,
            sampling=sampling,
            ignore_eos=ignore_eos,
            logprobs=logprobs,
            grammar=grammar,
            json_schema=json_schema,
            regex=regex,
            special=special,
        )

    def agenerate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int | None = None,
        stop: str | Iterable[str] = (),
        sampling: SamplingParams | None = None,
        ignore_eos: bool = False,
        logprobs: int = 0,
        grammar: str | None = None,
        json_schema: Schema | None = None,
        regex: str | None = None,
        special: bool = False,
    ) -> AsyncGeneration:
        """`Session.agenerate` in the session of `generate`."""
        return self._own_session().agenerate(
            prompt,
            max_tokens=max_tokens,
            stop=stop,
            sampling=sampling,
            ignore_eos=ignore_eos,
            logprobs=logprobs,
            grammar=grammar,
            json_schema=json_schema,
            regex=regex,
            special=special,
        )

    @property
    def pooling(self) -> str:
        """How texts become vectors ("mean", "cls", "last") or scores ("rank"); empty: neither."""
        return self._embedder.pooling

    @property
    def embedding_width(self) -> int:
        """Numbers of an embedding, or scores of a document."""
        return self._embedder.width

    def embed(
        self, texts: str | Sequence[str], *, normalize: bool = True, truncate: bool = False
    ) -> Vectors:
        """Embeddings, pooled as the model's file says.

        Args:
            texts: One text or several.
            normalize: Bring each vector to length 1, so that a dot product is a cosine.
            truncate: Embed the beginning of a text that is longer than `context`.

        Returns:
            [n, embedding_width] f32, a row per text.

        Raises:
            UnsupportedError: The model does not embed; the message says how it might.
            ContextError: A text has no tokens, or too many.
        """
        listed = [texts] if isinstance(texts, str) else texts
        return self._embedder.embed(listed, normalize=normalize, truncate=truncate)

    def rerank(self, query: str, documents: Sequence[str], *, truncate: bool = False) -> Vectors:
        """How well each document answers the query, with a reranker.

        Args:
            query: What is looked for.
            documents: What may have it.
            truncate: Score the beginning of a pair that is longer than `context`.

        Returns:
            [n] f32, higher is better: what the model's classifier gives, or the probability of yes
            if it answers yes or no.

        Raises:
            UnsupportedError: The model is no reranker.
            ContextError: A pair has too many tokens.
        """
        template = self.metadata.get("tokenizer.chat_template.rerank")
        text = template if isinstance(template, str) else None
        return self._embedder.rerank(query, documents, template=text, truncate=truncate)

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Token ids of a text, of chat messages (through the chat template), or of themselves.

        `tools` are functions that messages may call (JSON schemas). A tokenizer that ends texts
        with an end-of-text token does not end a prompt with it.

        Raises:
            UnsupportedError: Messages, and the model has no chat template.
            TemplateError: The template refuses the messages.
        """
        if not isinstance(prompt, str):
            items = list(prompt)
            if not items or not isinstance(items[0], Mapping):
                return [int(token) for token in cast("list[int]", items)]
            template = self.require_chat_template()
            messages = [dict(item) for item in cast("list[Mapping[str, Any]]", items)]
            text = template.render(messages, add_generation_prompt=True, tools=tools)
        else:
            text = prompt
        special = self.tokenizer.special
        ids = self.tokenizer.encode(text)
        if special.add_eos and ids and ids[-1] == special.eos:
            ids.pop()
        return ids

    def require_chat_template(self) -> ChatTemplate:
        """The chat template.

        Raises:
            UnsupportedError: The model has none.
        """
        if self.chat_template is None:
            raise UnsupportedError(
                f"[chat] {self.report.name} has no chat template: it continues texts. "
                'Use `gristmill run "..."` (a text prompt in Python).'
            )
        return self.chat_template

    def __repr__(self) -> str:
        return f"<gristmill.Model {self.report.name!r}: {self.isa}, {self.threads} threads>"

    def _own_session(self) -> Session:
        if self._default_session is None:
            self._default_session = self.session()
        return self._default_session


def _check_options(threads: int | None, context: int | None, max_batch: int) -> None:
    for name, value in (("threads", threads), ("context", context), ("max_batch", max_batch)):
        if value is not None and value < 1:
            raise ValueError(f"[model] {name} must be at least 1. Got {value}.")
