# SPDX-License-Identifier: MIT
"""llama.cpp's side of bench/peers.py, run by the Python that has llama-cpp-python.

It uses the C API through ctypes as llama-bench does: n_batch = n_ubatch = 512, logits of the last
token only, both thread counts alike, so no Python code runs per token but one call. Settings:
"repack" (use_extra_bufts: weights rearranged at load, AMX buffers included) and "flash" (flash
attention on or off).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from worker import Job, run

BATCH = 512
KV_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 8}  # ggml_type


class LlamaCpp:
    """A llama_model and a llama_context."""

    def __init__(self) -> None:
        self._log: list[str] = []

        @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
        def log(level: int, text: bytes, data: object) -> None:
            del level, data
            self._log.append(text.decode("utf-8", "replace"))

        self._callback = log  # the library keeps the pointer
        llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()

    def load(self, job: Job) -> None:
        """Loads the file and makes a context."""
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = job.settings.get("repack", True)
        self._model = llama_cpp.llama_model_load_from_file(job.model.encode(), params)
        if not self._model:
            raise RuntimeError(f"llama.cpp did not load the file: {self._complaint()}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = -(-job.context // 256) * 256
        options.n_batch = options.n_ubatch = BATCH
        options.n_threads = options.n_threads_batch = job.threads
        options.type_k = options.type_v = KV_TYPES[job.kv]
        options.flash_attn_type = 1 if job.settings.get("flash", True) else 0
        options.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        if not self._context:
            raise RuntimeError(f"llama.cpp made no context: {self._complaint()}")

    def clear(self) -> None:
        """Empties the KV cache's bookkeeping, as llama-bench does between runs."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)

    def evaluate(self, tokens: Sequence[int]) -> None:
        """llama_decode of at most 512 tokens at a time; without flags the last has logits."""
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            array = (llama_cpp.llama_token * len(part))(*part)
            status = llama_cpp.llama_decode(
                self._context, llama_cpp.llama_batch_get_one(array, len(part))
            )
            if status != 0:
                raise RuntimeError(f"llama_decode returned {status}: {self._complaint()}")
        llama_cpp.llama_synchronize(self._context)

    def vocab_size(self) -> int:
        """Number of tokens."""
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        return int(llama_cpp.llama_vocab_n_tokens(vocab))

    def facts(self) -> dict[str, Any]:
        """Version, compiled-in features, and the buffers that the weights went to."""
        lines = [line.strip() for line in "".join(self._log).splitlines()]
        return {
            "version": llama_cpp.__version__,
            "system_info": llama_cpp.llama_print_system_info().decode(),
            "buffers": [line for line in lines if "buffer size" in line],
        }

    def _complaint(self) -> str:
        lines = [line.strip() for line in "".join(self._log).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or "fail" in line.lower()]
        return (errors or lines or ["no message"])[-1]


if __name__ == "__main__":
    run(LlamaCpp)
