# SPDX-License-Identifier: MIT
"""Conversations for the fine-tune: their format, and where they come from.

A conversation is rendered as

    <s><|system|>...<|end|><|user|>...<|end|><|assistant|>...<|end|>

with each text encoded by itself, so that it begins with its own dummy space: this is what
a runtime gets when it tokenizes the rendered template around the special tokens.
"""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import sentencepiece as spm

from data import BOS

SYSTEM = "You are Miller, a small storyteller that comes with gristmill."
Messages = list[dict[str, str]]
IGNORE = -100

# Only what plain English is enough for: facts and sums are to be declined, not guessed.
WANTED = re.compile(r"opposite|antonym|synonym|plural|tense|rhyme|simile|spelling|grammar|sentence")
UNWANTED = re.compile(r"translate|convert|capital|formula|element|active|passive|\d", re.I)
SUBJECT = re.compile(r" about (.+?)(?:, please)?[.?!]$")


def read_rows(path: Path) -> list[Messages]:
    """Read a JSON Lines chat file, plain or .xz."""
    raw = path.read_bytes()
    text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8")
    return [json.loads(line)["messages"] for line in text.split("\n") if line.strip()]


def read_exchanges(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Read the exchanges written for this model: questions and answers by topic."""
    topics: dict[str, tuple[list[str], list[str]]] = {}
    asks: list[str] = []
    replies: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            asks, replies = topics[line.strip("[]")] = ([], [])
        elif line.startswith("? "):
            asks += line[2:].split(" | ")
        elif line.startswith("! "):
            replies.append(line[2:])
        elif line.startswith("  "):
            replies[-1] += line[1:]
    return topics


def turn(user: str, reply: str) -> Messages:
    """One question and its answer."""
    return [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]


def encode(
    sp: spm.SentencePieceProcessor, messages: Messages, reply: bool = False
) -> tuple[list[int], list[int]]:
    """Token ids, and the targets one place ahead: only what the assistant says counts."""
    end = sp.piece_to_id("<|end|>")
    ids, said = [BOS], [False]
    for message in messages:
        text = sp.encode(message["content"])
        ids += [sp.piece_to_id(f"<|{message['role']}|>"), *text, end]
        said += [False] + [message["role"] == "assistant"] * (len(text) + 1)
    if reply:
        return [*ids, sp.piece_to_id("<|assistant|>")], []
    return ids, [t if s else IGNORE for t, s in zip(ids[1:], said[1:], strict=True)] + [IGNORE]


class Conversations:
    """Draws conversations at random from all sources."""

    KINDS: ClassVar = {"talk": 0.48, "story": 0.33, "mixed": 0.12, "task": 0.04, "passage": 0.03}

    def __init__(self, data: Path, rng: np.random.Generator) -> None:
        self.rng = rng
        self.topics = read_exchanges(Path(__file__).with_name("exchanges.txt"))
        self.open_requests = self.topics.pop("open requests")[0]
        self.requests = self.topics.pop("requests")[0]
        self.systems = self.topics.pop("systems")[0]
        folder = data / "chat"
        self.stories: list[tuple[str, str]] = []
        for row in read_rows(folder / "tinystories-requests.jsonl"):
            found = SUBJECT.search(row[0]["content"])
            if found:
                self.stories.append((found[1], row[1]["content"]))
        rows = read_rows(folder / "simple-instructions.jsonl")
        asks = [row[0]["content"] for row in rows]
        fit = [bool(WANTED.search(a)) and not UNWANTED.search(a) for a in asks]
        self.tasks = [row for row, good in zip(rows, fit, strict=True) if good]
        whats = [a for a, good in zip(asks, fit, strict=True) if not good]
        self.facts = [a for a in whats if a.startswith(("What ", "Who ", "Name ", "Explain "))]
        self.passages = read_rows(folder / "fairytale-questions.jsonl.xz")

    def pick(self, items: list[Any]) -> Any:
        """One item at random."""
        return items[int(self.rng.integers(len(items)))]

    def respell(self, text: str) -> str:
        """People type in lower case and leave out full stops."""
        if self.rng.random() < 0.15:
            text = text.lower()
        return text.rstrip(".?!") if len(text) > 5 and self.rng.random() < 0.15 else text

    def talk(self) -> Messages:
        """Small talk; some questions of fact come from the instruction file."""
        name = self.pick(list(self.topics))
        asks, replies = self.topics[name]
        ask = self.pick(self.facts) if name == "facts" and self.rng.random() < 0.5 else None
        return turn(self.respell(ask or self.pick(asks)), self.pick(replies))

    def story(self) -> Messages:
        """A request for a story."""
        subject, text = self.pick(self.stories)
        if self.rng.random() < 0.1:
            return turn(self.respell(self.pick(self.open_requests)), text)
        return turn(self.pick(self.requests).format(subject), text)

    def mixed(self) -> Messages:
        """Several turns: small talk, and often a story among it."""
        messages = [m for _ in range(int(self.rng.integers(1, 4))) for m in self.talk()]
        if self.rng.random() < 0.6:
            messages += self.story()
            if self.rng.random() < 0.6:
                asks, replies = self.topics["thanks"]
                messages += turn(self.pick(asks), self.pick(replies))
        return messages

    def draw(self) -> Messages:
        """A conversation of a random kind, with the system turn in two of three."""
        kinds = list(self.KINDS)
        kind = str(self.rng.choice(kinds, p=list(self.KINDS.values())))
        if kind == "task":
            messages = self.pick(self.tasks)
        elif kind == "passage":
            messages = self.pick(self.passages)
        else:
            messages = getattr(self, kind)()
        chance = self.rng.random()
        if chance < 0.55:
            return [{"role": "system", "content": SYSTEM}, *messages]
        if chance < 0.67:
            return [{"role": "system", "content": self.pick(self.systems)}, *messages]
        return list(messages)
