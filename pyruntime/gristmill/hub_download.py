# SPDX-License-Identifier: MIT
"""Downloads from the Hugging Face hub, through huggingface_hub: resumed, checked, cached.

A file arrives under another name beside its blob, where an interrupted download goes on next time,
and takes its place only if it has the size and the SHA-256 that the hub states. Access tokens come
from HF_TOKEN or `hf auth login`; HF_HUB_OFFLINE=1 forbids the network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlparse

from .errors import GristmillError, ResourceError
from .hub_cache import PARTIAL, HubName, cache_folder, choose, find, repository_folder

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

Progress = Callable[[int, int], object]
_READ = 1 << 20
# What a conversion reads; everything else in a repository stays there.
_CHECKPOINT = (".safetensors", ".json", ".jinja")
_TOKENIZER = "tokenizer.model"
_MODULE = re.compile(r"\d+_(Pooling|Dense)/[^/]+")  # folders of sentence-transformers


def pull(name: HubName, progress: Progress | None = None) -> tuple[Path, bool]:
    """Downloads a GGUF model unless it is here.

    Args:
        name: Its name.
        progress: Called with bytes done and bytes in all.

    Returns:
        Its first file, and whether anything was downloaded.

    Raises:
        ResourceError: The name, the network, the disk, or a hash that is not the stated one.
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    with _explained(name):
        try:
            info = _info(name)
        except OfflineModeIsEnabled:
            with contextlib.suppress(ResourceError):
                return find(name), False
            raise
        files = choose(name, _sizes(info))
        fresh = _fetch(name, info, files, progress)
        return _snapshot(name, info) / files[0], fresh


def pull_checkpoint(name: HubName, progress: Progress | None = None) -> Path:
    """Downloads what a conversion needs; returns the folder.

    Raises:
        ResourceError: As pull.
    """
    with _explained(name):
        info = _info(name)
        files = [file for file in _sizes(info) if file == _TOKENIZER or _is_checkpoint(file)]
        if not any(file.endswith(".safetensors") for file in files):
            raise ResourceError(f"[{name}] The repository has no safetensors.")
        _fetch(name, info, files, progress)
        return _snapshot(name, info)


def _is_checkpoint(file: str) -> bool:
    inside = "/" not in file or _MODULE.fullmatch(file) is not None
    return inside and file.endswith(_CHECKPOINT)


def _info(name: HubName) -> ModelInfo:
    from huggingface_hub import HfApi

    return HfApi().model_info(name.repo, revision=name.revision, files_metadata=True)


def _sizes(info: ModelInfo) -> dict[str, int]:
    """Bytes of each file."""
    return {file.rfilename: file.size or 0 for file in info.siblings or ()}


def _snapshot(name: HubName, info: ModelInfo) -> Path:
    return repository_folder(name.repo) / "snapshots" / str(info.sha)


def _fetch(name: HubName, info: ModelInfo, files: Sequence[str], progress: Progress | None) -> bool:
    """Makes the files be in the cache; returns whether any had to be downloaded."""
    from huggingface_hub import hf_hub_download

    sizes, snapshot = _sizes(info), _snapshot(name, info)
    missing = [file for file in files if not (snapshot / file).is_file()]
    _require_space(name, sum(sizes[file] for file in missing))
    done = sum(sizes[file] for file in files if file not in missing)
    total = sum(sizes[file] for file in files)
    for file in files:
        if file in missing:

            def tell(part: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + part, total)

            _download(name, str(info.sha), file, tell)
            done += sizes[file]
        # Links the blob into the snapshot and notes what the revision is; the bytes are there.
        hf_hub_download(name.repo, file, revision=name.revision, cache_dir=cache_folder())
    return bool(missing)


def _download(name: HubName, commit: str, file: str, tell: Callable[[int], None]) -> None:
    """One file to its place among the blobs."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    url = hf_hub_url(name.repo, file, revision=commit)
    found = get_hf_file_metadata(url)
    if not found.etag or not found.etag.isalnum() or found.size is None:
        raise ResourceError(f"[{name}] The server states no size and hash for {file!r}.")
    blob = repository_folder(name.repo) / "blobs" / found.etag
    partial = blob.with_name(blob.name + PARTIAL)
    blob.parent.mkdir(parents=True, exist_ok=True)
    headers = build_hf_headers()
    if urlparse(found.location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)  # the token is for the hub, not for its stores
    with WeakFileLock(f"{partial}.lock"):
        if blob.is_file():
            return
        if partial.is_file() and partial.stat().st_size > found.size:
            partial.unlink()
        with open(partial, "ab") as out, _no_bars():
            http_get(
                found.location,
                cast(BinaryIO, _Counted(out, tell)),
                resume_size=out.tell(),
                headers=headers,
                expected_size=found.size,
            )
            out.flush()
            os.fsync(out.fileno())
        _check_hash(name, file, partial, found.etag)
        partial.replace(blob)
    Path(f"{partial}.lock").unlink(missing_ok=True)


def _check_hash(name: HubName, file: str, path: Path, stated: str) -> None:
    """Compares with the SHA-256 that large files have for an ETag; small ones have git's hash."""
    if len(stated) != 64:
        return
    sha = hashlib.sha256()
    with open(path, "rb") as data:
        while piece := data.read(_READ):
            sha.update(piece)
    if sha.hexdigest() != stated.lower():
        path.unlink()
        raise ResourceError(
            f"[{name}] {file!r} does not have the SHA-256 that the hub states, and was removed. "
            f"Got {sha.hexdigest()}, expected {stated}."
        )


class _Counted:
    """A file that says how much of it is written; all that the library does with one."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        self._file, self._tell = file, tell

    def write(self, data: bytes) -> int:
        """Writes and counts."""
        count = self._file.write(data)
        self._tell(self._file.tell())
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keeps the library from drawing bars of its own."""
    from huggingface_hub import utils

    before = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            utils.enable_progress_bars()


def _require_space(name: HubName, needed: int) -> None:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"[{name}] The disk of {folder} is too full: {needed / 1e9:.2f} GB are to come, "
            f"{free / 1e9:.2f} GB are free."
        )


@contextlib.contextmanager
def _explained(name: HubName) -> Iterator[None]:
    """Turns what the library, its HTTP client or the system raise into one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except GristmillError:
        raise
    except errors.GatedRepoError as error:
        raise ResourceError(
            f"[{name}] The repository is gated: accept its terms on the hub, then set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ResourceError(
            f"[{name}] There is no such repository, or it is private and needs HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ResourceError(f"[{name}] There is no revision {name.revision!r}.") from error
    except errors.OfflineModeIsEnabled as error:
        raise ResourceError(
            f"[{name}] HF_HUB_OFFLINE forbids the network, and the model is not on this computer."
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "no status")
        raise ResourceError(f"[{name}] The hub answered with an error ({status}).") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(
                f"[{name}] The disk of {cache_folder()} is full. What has arrived is kept; "
                "the same command goes on from there."
            ) from error
        raise ResourceError(f"[{name}] The download failed: {_line(error)}.") from error
    except Exception as error:  # of the library's HTTP client, whose classes change
        raise ResourceError(
            f"[{name}] The hub cannot be reached: {_line(error)}. What has arrived is kept; the "
            "same command goes on from there."
        ) from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__).rstrip(".")[:200]
