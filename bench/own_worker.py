# SPDX-License-Identifier: MIT
"""gristmill's side of bench/peers.py. See worker.py for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gristmill
from gristmill import machine
from gristmill.model import Model
from worker import Job, run

BATCH = 512


class Gristmill:
    """A model and a session, through the public Python API.

    Setting "cache": whether packed weights come from the panel cache, as from the second start on.
    """

    def load(self, job: Job) -> None:
        """Loads and opens a session."""
        cache = job.settings.get("cache", True)
        self._model = Model.load(job.model, threads=job.threads, cache=cache, kv=job.kv)
        self._session = self._model.session(context=job.context)
        self._cache = self._model.report.cache.state

    def clear(self) -> None:
        """Empties the session."""
        self._session.reset()

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Appends, in batches of the session's size (512)."""
        self._session.append(tokens)

    def vocab_size(self) -> int:
        """Number of tokens."""
        return self._model.vocab_size

    def facts(self) -> dict[str, Any]:
        """ISA level, weight bytes per token, and the machine's peaks, measured now."""
        peaks = machine.measure_peaks(self._model.threads, self._model.isa)
        return {
            "version": gristmill.__version__,
            "isa": self._model.isa,
            "cache": self._cache,
            "weight_bytes_per_token": self._model.weight_bytes,
            "macs_per_token": self._model.macs_per_token,
            "macs_per_logits_row": self._model.macs_per_logits_row,
            "bandwidth_bytes_per_s": peaks.bandwidth_bytes_per_s,
            "int8_macs_per_s": peaks.int8_macs_per_s,
        }


if __name__ == "__main__":
    run(Gristmill)
