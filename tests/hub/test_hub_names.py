# SPDX-License-Identifier: MIT
"""Names on the hub, and which files of a repository they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from gristmill import ResourceError, hub
from gristmill.hub_cache import HubName, cache_folder, choose, group

FILES = [
    "README.md", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-q6_k.gguf", "mmproj-m-f16.gguf",
    "big/m-F16-00002-of-00002.gguf", "big/m-F16-00001-of-00002.gguf", "m-IQ4_XS.gguf",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:user/repo", HubName("user/repo", "main", "")),
        ("hf:user/repo:Q4_K_M", HubName("user/repo", "main", "Q4_K_M")),
        ("user/re.po-1:a.gguf", HubName("user/re.po-1", "main", "a.gguf")),
        ("hf:u/r@v1.0:Q8_0", HubName("u/r", "v1.0", "Q8_0")),
    ],
)
def test_names(text: str, expected: HubName) -> None:
    assert HubName.parse(text) == expected
    assert HubName.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b:", "hf:../b", "hf:a/..", "hf:a b/c", "hf:a/b:c:d"]
)
def test_bad_names(text: str) -> None:
    with pytest.raises(ResourceError, match="hf:user/repository"):
        HubName.parse(text)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", ["m-Q4_K_M.gguf"]),
        ("q8_0", ["m-Q8_0.gguf"]),
        ("Q6_K", ["m-q6_k.gguf"]),
        ("m-Q8_0.gguf", ["m-Q8_0.gguf"]),
        ("F16", ["big/m-F16-00001-of-00002.gguf", "big/m-F16-00002-of-00002.gguf"]),
    ],
)
def test_choice(wanted: str, expected: list[str]) -> None:
    assert choose(HubName("u/r", "main", wanted), FILES) == expected


def test_choices_that_are_none() -> None:
    with pytest.raises(ResourceError, match=r"no file fits.*m-Q8_0\.gguf"):
        choose(HubName("u/r", "main", "Q5_K"), FILES)
    with pytest.raises(ResourceError, match="several files fit"):
        choose(HubName("u/r", "main", "Q8_0"), [*FILES, "n-Q8_0.gguf"])
    with pytest.raises(ResourceError, match="no file fits"):
        choose(HubName("u/r", "main", "Q4_K"), FILES)
    with pytest.raises(ResourceError, match="gristmill convert hf:u/r"):
        choose(HubName("u/r", "main", ""), ["model.safetensors"])
    assert choose(HubName("u/r", "main", ""), ["only.gguf"]) == ["only.gguf"]


def test_projectors_are_no_models() -> None:
    assert len(group(FILES)) == 5
    assert not any("mmproj" in first for first in group(FILES))


def test_the_cache_is_where_the_hub_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/y")
    assert cache_folder() == Path("/y/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/z")
    assert cache_folder() == Path("/z")


def test_what_is_not_there_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match="gristmill pull hf:user/model:Q8_0"):
        hub.resolve("hf:user/model:Q8_0")
