# SPDX-License-Identifier: MIT
"""Texts to vectors, and documents to scores, with a model whose plan gives them.

Such a model sees a text at once, so its sessions take batches as long as their context. One session
is kept and made longer when a longer text comes; calls of several threads take turns.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import _core
from .errors import ContextError, UnsupportedError

if TYPE_CHECKING:
    from .architectures.plan import Plan
    from .tokenizer import Tokenizer

Vectors = NDArray[np.float32]
_PLACE = re.compile(r"\{(?:query|document)\}")
_LEAST_CONTEXT = 64  # tokens; sessions double from here


class Embedder:
    """The session of a model that gives embeddings, and what may be asked of it.

    Args:
        core: The model.
        plan: Its plan.
        tokenizer: Its tokenizer.
        context: Tokens of the longest text.
        name: Of the model, for messages.
    """

    def __init__(
        self, core: _core.Model, plan: Plan, tokenizer: Tokenizer, context: int, name: str
    ) -> None:
        self.pooling = plan.pooling
        self._core = core
        self._plan = plan
        self._tokenizer = tokenizer
        self._context = context
        self._name = name
        self._lock = threading.Lock()
        self._session: _core.Session | None = None

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self._plan.output_width

    def require(self, *poolings: str) -> None:
        """Whether the model does what is asked of it.

        Raises:
            UnsupportedError: It does not; the message says what would.
        """
        if self.pooling in poolings:
            return
        if poolings == ("",):
            rule = "The model gives vectors or scores of texts, not their continuation"
            hint = "embed() or rerank() is what it does"
        elif self.pooling == "":
            rule = "The model was loaded to generate text, not to embed it"
            hint = "load it with pooling='last' or 'mean' (--pooling), or use an embedding model"
        elif self.pooling == "none":
            rule = "The file does not say how the vectors of tokens become one"
            hint = "load it with pooling='mean', 'cls' or 'last' (--pooling)"
        elif self.pooling == "rank":
            rule = "The model scores documents and has no embeddings"
            hint = "use rerank(), or load it with pooling='mean' (--pooling)"
        else:
            rule = "The model gives embeddings and no scores of documents"
            hint = "compare embeddings of the query and the documents, or use a reranker"
        raise UnsupportedError(f"[embed] {rule}. Got {self._name!r}. Hint: {hint}.")

    def embed(self, texts: Sequence[str], *, normalize: bool, truncate: bool) -> Vectors:
        """[n, width]: a vector per text; see `Model.embed`."""
        self.require("mean", "cls", "last")
        ids = [self._fit(self._tokenizer.encode(text), i, truncate) for i, text in enumerate(texts)]
        out = np.empty((len(ids), self.width), dtype=np.float32)
        for i, tokens in enumerate(ids):
            out[i] = self.rows(tokens)[0]
        if normalize and out.size:
            lengths = np.linalg.norm(out, axis=1, keepdims=True)
            out /= np.where(lengths > 0, lengths, 1)
        return out

    def rows(self, tokens: Sequence[int], types: Sequence[int] | None = None) -> Vectors:
        """The output of the model for one text: a row, or with pooling "none" one per token."""
        with self._lock:
            session = self._session_of(len(tokens))
            session.truncate(0)
            session.forward(tokens, types)
            return np.array(session.logits())

    def _fit(self, ids: list[int], index: int, truncate: bool) -> list[int]:
        """The tokens of a text; what is cut off if it is too long lies before its last token."""
        if not ids:
            raise ContextError(f"[embed] A text must have tokens. Text {index} has none.")
        if len(ids) <= self._context:
            return ids
        if not truncate:
            raise ContextError(
                f"[embed] A text has at most {self._context} tokens here. Text {index} has "
                f"{len(ids)}. Hint: truncate=True (--truncate) embeds its beginning."
            )
        special = self._tokenizer.special
        framed = ids[-1] in (special.eos, special.sep) and ids[-1] is not None
        return [*ids[: self._context - 1], ids[-1]] if framed else ids[: self._context]

    def _session_of(self, count: int) -> _core.Session:
        """The session, long enough for so many tokens."""
        if self._session is None or self._session.context < count:
            size = _LEAST_CONTEXT
            while size < count:
                size *= 2
            size = min(size, self._context)
            self._session = None  # before the next one takes its memory
            every = self.pooling == "none"
            self._session = _core.Session(self._core, size, size, every, "f16")
        return self._session

    # -- scores of documents
    def rerank(
        self, query: str, documents: Sequence[str], *, template: str | None, truncate: bool
    ) -> Vectors:
        """[n]: a score per document; see `Model.rerank`."""
        self.require("rank")
        if self.width > 2:
            raise UnsupportedError(
                f"[rerank] A model that ranks has a score, or one for yes and one for no. "
                f"Got {self.width} in {self._name!r}."
            )
        scores = np.empty(len(documents), dtype=np.float32)
        for i, document in enumerate(documents):
            tokens, types = self._pair(query, document, template)
            fitted = self._fit(tokens, i, truncate)
            row = self.rows(fitted, types[: len(fitted)] if types else None)[0].astype(np.float64)
            scores[i] = row[0] if self.width == 1 else 1 / (1 + np.exp(row[1] - row[0]))
        return scores

    def _pair(
        self, query: str, document: str, template: str | None
    ) -> tuple[list[int], list[int] | None]:
        """Tokens of a query and a document, and their types if the model tells the two apart."""
        encode, special = self._tokenizer.encode, self._tokenizer.special
        if template is not None:
            parts = {"{query}": query, "{document}": document}
            return encode(_PLACE.sub(lambda place: parts[place[0]], template)), None
        first = encode(query, add_special=False, parse_special=False)
        second = encode(document, add_special=False, parse_special=False)
        end = special.eos if special.eos is not None else special.sep
        between = [special.sep] if special.eos is not None else []
        begin = [token for token in (special.bos,) if token is not None]
        close = [token for token in (end,) if token is not None]
        head = [*begin, *first, *close]
        tail = [*(token for token in between if token is not None), *second, *close]
        types = [0] * len(head) + [1] * len(tail) if self._plan.types > 1 else None
        return [*head, *tail], types
