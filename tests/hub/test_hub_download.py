# SPDX-License-Identifier: MIT
"""pull, list, rm and hf: names against a local server, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoints import LLAMA, write_model
from fake_hub import COMMIT, FakeHub
from terminal import environment, one_sentence, run

from gristmill import ResourceError, hub_cache
from gristmill.convert import convert
from gristmill.gguf import File
from gristmill.hub_cache import HubName

Pull = Callable[[str], Path]
Env = dict[str, str]
CHUNK = 10 << 20  # bytes that the library passes on at a time
LARGE = "m-F16.gguf"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("model") / "m", LLAMA)
    convert(folder, folder / "m-Q8_0.gguf", "q8_0")
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[FakeHub]:
    data = (model / "m-Q8_0.gguf").read_bytes()
    other = data[: len(data) // 2]
    server = FakeHub({
        "README.md": b"# model", LARGE: bytes(CHUNK + 2000),
        "m-Q8_0.gguf": data, "m-Q4_K_M.gguf": data, "m-Q2_K.gguf": other,
        "config.json": (model / "config.json").read_bytes(),
        "tokenizer.json": (model / "tokenizer.json").read_bytes(),
        "model.safetensors": (model / "model.safetensors").read_bytes(),
    })  # fmt: skip
    yield server
    server.close()


@pytest.fixture
def env(hub: FakeHub, tmp_path: Path) -> Env:
    cleared = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
    changes = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
    return environment(**cleared, **changes, HF_HUB_DISABLE_TELEMETRY="1")


def blobs(tmp_path: Path) -> list[str]:
    folder = tmp_path / "hf/hub/models--user--model/blobs"
    return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []


def test_pull_run_list_rm(hub: FakeHub, env: Env, tmp_path: Path) -> None:
    done = run("pull", "hf:user/model:Q8_0", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    path = Path(done.stdout.decode().strip())
    assert path == tmp_path / f"hf/hub/models--user--model/snapshots/{COMMIT}/m-Q8_0.gguf"
    assert path.read_bytes() == hub.files["m-Q8_0.gguf"]
    assert len(hub.ranges()) == 1
    again = run("pull", "hf:user/model:Q8_0", env=env)
    assert again.stdout.decode().endswith("(already here)\n")
    assert len(hub.ranges()) == 1

    count = len(hub.requests)
    assert run("run", "-m", "hf:user/model:Q8_0", "Hi", "-n", "1", env=env).returncode == 0
    assert run("verify", "hf:user/model", env=env).returncode == 0  # the only one here
    assert len(hub.requests) == count  # no network

    listed = json.loads(run("list", "--json", env=env).stdout)
    assert [m["name"] for m in listed["models"]] == ["hf:user/model:m-Q8_0.gguf"]
    assert listed["models"][0]["bytes"] == path.stat().st_size
    assert "hf:user/model:m-Q8_0.gguf" in run("list", env=env).stdout.decode()
    removed = run("rm", "hf:user/model:Q8_0", env=env)
    assert removed.stdout.startswith(b"removed 1 file, ")
    assert not (tmp_path / "hf/hub/models--user--model").exists()
    assert "not on this computer" in one_sentence(run("rm", "hf:user/model", env=env).stderr)


@pytest.fixture
def here(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`pull` in this process, where the library has read its variables long ago."""
    from huggingface_hub import constants

    from gristmill import hub_download

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf/hub"))
    monkeypatch.setenv("HF_TOKEN", "")
    return lambda text: hub_download.pull(HubName.parse(text))[0]


def test_rm_keeps_other_files(here: Pull) -> None:
    for kind in ("Q8_0", "Q2_K"):
        here(f"hf:user/model:{kind}")
    assert hub_cache.remove(HubName.parse("hf:user/model:Q8_0"))[0] == 1
    assert [m.name for m in hub_cache.pulled()] == ["hf:user/model:m-Q2_K.gguf"]


def test_rm_leaves_what_lies_outside_the_cache(here: Pull, tmp_path: Path) -> None:
    path = here("hf:user/model:Q8_0")
    own = tmp_path / "own.gguf"
    path.resolve().rename(own)
    path.unlink()
    path.symlink_to(own)
    assert hub_cache.remove(HubName.parse("hf:user/model:Q8_0")) == (1, 0)
    assert own.is_file()
    assert not path.is_symlink()


def test_progress_counts_bytes(here: Pull, hub: FakeHub) -> None:
    from gristmill import hub_download

    seen: list[tuple[int, int]] = []
    hub_download.pull(HubName.parse("hf:user/model:F16"), lambda *at: seen.append(at))
    assert seen == [(CHUNK, CHUNK + 2000), (CHUNK + 2000, CHUNK + 2000)]


def test_a_cut_connection_goes_on(here: Pull, hub: FakeHub) -> None:
    hub.faults.cut = [CHUNK + 1000]
    assert here("hf:user/model:F16").read_bytes() == hub.files[LARGE]
    assert hub.ranges() == ["", f"bytes={CHUNK}-"]


def test_a_given_up_download_goes_on_with_the_next_command(
    here: Pull, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    hub.faults.cut = [CHUNK + 1000] + [0] * 9
    with pytest.raises(ResourceError, match="goes on from there"):
        here("hf:user/model:F16")
    kept = [name for name in blobs(tmp_path) if "lock" not in name]
    assert [name.split(".")[1] for name in kept] == ["gristmill-part"]
    assert not list((tmp_path / "hf").rglob("*.gguf"))
    hub.faults.cut = []
    hub.requests.clear()
    assert here("hf:user/model:F16").read_bytes() == hub.files[LARGE]
    assert hub.ranges() == [f"bytes={CHUNK}-"]
    assert len(blobs(tmp_path)) == 1


def test_a_wrong_hash_is_refused_and_removed(here: Pull, hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.lie = {"m-Q8_0.gguf"}
    with pytest.raises(ResourceError, match="does not have the SHA-256"):
        here("hf:user/model:Q8_0")
    assert [name for name in blobs(tmp_path) if "lock" not in name] == []
    hub.faults.lie = set()
    assert here("hf:user/model:Q8_0").is_file()


ERRORS: dict[str, tuple[tuple[int, str], str]] = {
    "missing": ((404, "RepoNotFound"), "no such repository"),
    "gated": ((403, "GatedRepo"), "gated"),
    "private": ((401, "RepoNotFound"), "HF_TOKEN"),
    "broken": ((500, ""), r"\(500\)"),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_errors_of_the_hub(here: Pull, hub: FakeHub, name: str) -> None:
    hub.faults.status, message = ERRORS[name]
    with pytest.raises(ResourceError, match=message):
        here("hf:user/model:Q8_0")


def test_names_that_the_repository_lacks(here: Pull) -> None:
    with pytest.raises(ResourceError, match=r"m-Q4_K_M\.gguf"):
        here("hf:user/model:Q5_K_M")
    with pytest.raises(ResourceError, match="no revision 'v9'"):
        here("hf:user/model@v9")
    with pytest.raises(ResourceError, match="no such repository"):
        here("hf:user/none")


def test_the_token_goes_to_the_hub_and_not_to_its_stores(
    here: Pull, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(ResourceError, match="HF_TOKEN"):
        here("hf:user/model:Q8_0")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert here("hf:user/model:Q8_0").is_file()
    stores = [h for _, path, h in hub.requests if "/store/" in path]
    assert stores
    assert not any("authorization" in headers for headers in stores)


def test_no_network_in_this_process(
    here: Pull, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.close()
    with pytest.raises(ResourceError, match="cannot be reached|download failed"):
        here("hf:user/model:Q8_0")


def test_offline(env: Env) -> None:
    offline = env | {"HF_HUB_OFFLINE": "1"}
    assert "HF_HUB_OFFLINE" in one_sentence(run("pull", "hf:user/model:Q8_0", env=offline).stderr)
    assert run("pull", "hf:user/model:Q8_0", env=env).returncode == 0
    assert b"already here" in run("pull", "hf:user/model:Q8_0", env=offline).stdout


def test_a_full_disk_is_said_before_the_download(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from gristmill import hub_download

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(hub_download.shutil, "disk_usage", lambda _: usage)
    info: Any = type("Info", (), {"sha": COMMIT, "siblings": [
        type("File", (), {"rfilename": "m.gguf", "size": 10**9})
    ]})  # fmt: skip
    monkeypatch.setattr(hub_download, "_info", lambda _: info)
    with pytest.raises(ResourceError, match=r"too full: 1\.00 GB"):
        hub_download.pull(HubName.parse("hf:user/model"))
    assert hub.requests == []


def test_convert_from_the_hub(hub: FakeHub, env: Env, tmp_path: Path, model: Path) -> None:
    """With what sentence-transformers keeps in folders, and without the other folders."""
    pooling = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    hub.files |= {
        "modules.json": json.dumps([pooling]).encode(),
        "1_Pooling/config.json": b'{"pooling_mode_lasttoken": true}',
        "onnx/config.json": b"{}",
    }
    out = tmp_path / "o.gguf"
    done = run("convert", "hf:user/model", str(out), "--type", "q8_0", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not any("README" in path or "onnx" in path for _, path, _ in hub.requests)
    copy = shutil.copytree(model, tmp_path / "copy")
    for name in ("modules.json", "1_Pooling/config.json"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(hub.files[name])
    local = convert(copy, tmp_path / "l.gguf", "q8_0", name="model").path
    assert out.read_bytes() == local.read_bytes()
    assert File(local).metadata["llama.pooling_type"] == 3
