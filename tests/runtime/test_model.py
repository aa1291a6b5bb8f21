# SPDX-License-Identifier: MIT
"""Loading: names, options, reports, and files that are no models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gristmill
from gristmill import GristmillError, Model, ResourceError, UnsupportedError, _core, hub
from gristmill.report import human_bytes

if TYPE_CHECKING:
    from gristmill import Session


def test_public_names_all_load() -> None:
    for name in gristmill.__all__:
        assert getattr(gristmill, name) is not None
    assert set(gristmill.__all__) <= set(dir(gristmill))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        gristmill.nonsense  # noqa: B018


def test_the_report_tells_what_was_decided(model: Model) -> None:
    report = model.report
    assert report.threads == 2
    assert report.threads_why == "as asked"
    assert report.isa == (os.environ.get("GRISTMILL_ISA") or _core.available_isas()[-1])
    assert report.context == model.context <= report.trained_context
    assert sum(item.tensors for item in report.formats) > 20
    assert sum(item.bytes for item in report.formats) < os.path.getsize(report.path)
    assert report.load_seconds > 0
    assert min(report.memory_bytes.values()) >= 0
    json.dumps(report.to_dict())
    text = report.describe()
    for value in (report.isa, report.path, report.tokenizer_source, report.formats[0].format):
        assert value in text


def test_a_small_model_takes_one_thread() -> None:
    report = Model.load().report
    assert report.threads == 1
    assert _core.default_threads()[0] == 1 or "gains nothing" in report.threads_why


def test_the_memory_plan_is_what_a_session_takes(model: Model, session: Session) -> None:
    planned, taken = model.report.memory_bytes, session.memory_bytes
    assert taken.items() <= planned.items()
    assert set(planned) - set(taken) == {"panels", "mapped", "vectors", "loading"}


def test_kernel_levels_can_be_chosen() -> None:
    scalar = Model.load(isa="scalar", threads=1)
    assert (scalar.isa, scalar.report.isa_why) == ("scalar", "as asked")
    with pytest.raises(UnsupportedError, match="'sse9'"):
        Model.load(isa="sse9")


@pytest.mark.parametrize("option", ["threads", "context", "max_batch"])
def test_options_out_of_range_are_named(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        Model.load(**{option: 0})  # type: ignore[arg-type]


def test_progress_reaches_the_end() -> None:
    calls: list[tuple[int, int]] = []
    Model.load(threads=1, progress=lambda done, total: calls.append((done, total)))
    assert calls
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1] > 0


def test_names_of_the_bundled_model() -> None:
    path = hub.bundled_model()
    for name in (None, "tales", "gristmill-tales", hub.BUNDLED, str(path), path):
        assert hub.resolve(name).samefile(path)


def test_names_in_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"")
    monkeypatch.setenv("GRISTMILL_MODELS", f"/nowhere{os.pathsep}{tmp_path}")
    assert hub.resolve("mine") == hub.resolve("mine.gguf") == tmp_path / "mine.gguf"


@pytest.mark.parametrize("name", ["nonsense", "no/such/file.gguf", "x" * 5000, "a\0b", ""])
def test_unknown_names_are_one_sentence(name: str) -> None:
    with pytest.raises(ResourceError, match=r"^\[model\]"):
        hub.resolve(name)


def test_folders_and_pipes_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="a folder"):
        Model.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResourceError, match="pipe"):
        Model.load(tmp_path / "pipe")


@pytest.mark.parametrize("size", [0, 3, 4, 8, 20, 24, 100, 5000, 60_000])
def test_truncated_files_are_errors(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(hub.bundled_model().read_bytes()[:size])
    with pytest.raises(GristmillError):
        Model.load(path)


def test_sizes_for_people() -> None:
    sizes = [0, 1023, 1536, 5 * 2**20, 3 * 2**30, 2**41]
    expected = ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB", "2.0 TiB"]
    assert [human_bytes(size) for size in sizes] == expected
