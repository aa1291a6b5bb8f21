# SPDX-License-Identifier: MIT
"""Models from the Hugging Face hub that are on this computer: finding, listing, removing.

They lie in the cache that all programs of that hub share (HF_HUB_CACHE, HF_HOME), in its documented
layout: models--USER--REPO with blobs by hash, and snapshots of links to them. No network here.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ResourceError

PREFIX = "hf:"
PARTIAL = ".gristmill-part"  # behind the name of a blob that is being downloaded
DEFAULT_TYPE = "Q4_K_M"
_NAME = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+?))?(?::(?P<wanted>[^:]+))?", re.ASCII
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class HubName:
    """hf:REPO[@REVISION][:WANTED].

    Args:
        repo: "user/name".
        revision: A branch, tag or commit; "main" if none was given.
        wanted: A type such as "Q4_K_M", or a file's name; "" for the default.
    """

    repo: str
    revision: str
    wanted: str

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Reads a name.

        Raises:
            ResourceError: It is none.
        """
        match = _NAME.fullmatch(text.removeprefix(PREFIX))
        if match is None or ".." in text:
            raise ResourceError(
                f"[model] A name on the hub is hf:user/repository, with :TYPE behind it if the "
                f"repository has several files. Got {text!r:.120}."
            )
        return cls(match["repo"], match["revision"] or "main", match["wanted"] or "")

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{PREFIX}{self.repo}{revision}" + (f":{self.wanted}" if self.wanted else "")


def choose(name: HubName, files: Iterable[str]) -> list[str]:
    """The files of a repository that make up the model of this name, first part first.

    Raises:
        ResourceError: No file fits, or several do.
    """
    models = group(files)
    if not models:
        raise ResourceError(
            f"[{name}] The repository has no GGUF files. Hint: `gristmill convert "
            f"{PREFIX}{name.repo} OUT` makes one from safetensors."
        )
    found = [first for first in models if _fits(first, name.wanted or DEFAULT_TYPE)]
    if not found and not name.wanted and len(models) == 1:
        found = list(models)
    if len(found) != 1:
        what = "several files fit" if found else "no file fits"
        shown = ", ".join(sorted(found or models)[:40])
        raise ResourceError(
            f"[{name}] Name the type or the file behind a colon: {what}. There are: {shown}."
        )
    return models[found[0]]


def group(files: Iterable[str]) -> dict[str, list[str]]:
    """All parts of each GGUF model by its first part; projectors for images are none."""
    models: dict[str, list[str]] = {}
    for file in sorted(files):
        lower = file.lower()
        if not lower.endswith(".gguf") or "mmproj" in lower:
            continue
        part = _PART.search(file)
        first = file if part is None else f"{file[: part.start()]}-00001-of-{part[2]}{file[-5:]}"
        models.setdefault(first, []).append(file)
    return models


def _fits(file: str, wanted: str) -> bool:
    """Whether a file is called that, or has the type in its name."""
    if file == wanted or Path(file).name == wanted:
        return True
    word = rf"(?:^|[-._/]){re.escape(wanted)}(?:[-./]|$)"  # Q4_K is not Q4_K_M
    return re.search(word, _PART.sub("", file).removesuffix(".gguf"), re.IGNORECASE) is not None


def cache_folder() -> Path:
    """Where the hub's programs keep files; the variables are those of huggingface_hub."""
    environment = os.environ
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(variable):
            return Path(environment[variable]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    base = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def repository_folder(repo: str) -> Path:
    """The folder of one repository."""
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def _snapshot(name: HubName) -> Path | None:
    folder = repository_folder(name.repo)
    reference = folder / "refs" / name.revision
    commit = reference.read_text().strip() if reference.is_file() else name.revision
    path = folder / "snapshots" / commit
    return path if path.is_dir() else None


def _present(snapshot: Path) -> list[str]:
    """Names of the files of a snapshot whose bytes are there."""
    files = (path for path in snapshot.rglob("*") if path.is_file())
    return [path.relative_to(snapshot).as_posix() for path in files]


def find(name: HubName) -> Path:
    """The first file of a model that was pulled.

    Raises:
        ResourceError: It was not, or only in part.
    """
    snapshot = _snapshot(name)
    here = _present(snapshot) if snapshot is not None else []
    if snapshot is None or not group(here):
        raise ResourceError(
            f"[{name}] The model is not on this computer. Hint: gristmill pull {name}"
        )
    parts = choose(name, here)
    whole = _PART.search(parts[0])
    if whole is not None and len(parts) != int(whole[2]):
        raise ResourceError(
            f"[{name}] {len(parts)} of {int(whole[2])} parts are on this computer. "
            f"Hint: gristmill pull {name}"
        )
    return snapshot / parts[0]


@dataclass(frozen=True)
class Pulled:
    """A model on this computer.

    Args:
        name: As commands take it.
        path: Its first file.
        nbytes: Of all its files.
        used: When it was last read or written, in seconds since 1970.
    """

    name: str
    path: Path
    nbytes: int
    used: float


def pulled() -> list[Pulled]:
    """Every GGUF model in the hub's cache, by name."""
    found = []
    for repo, snapshot in _snapshots():
        references = _references(snapshot.parents[1])
        name = HubName(repo, references.get(snapshot.name, snapshot.name), "")
        for first, parts in group(_present(snapshot)).items():
            stats = [(snapshot / part).stat() for part in parts]
            found.append(
                Pulled(
                    f"{name}:{Path(first).name}",
                    snapshot / first,
                    sum(stat.st_size for stat in stats),
                    max(max(stat.st_atime, stat.st_mtime) for stat in stats),
                )
            )
    return sorted(found, key=lambda model: model.name)


def _snapshots() -> Iterator[tuple[str, Path]]:
    folder = cache_folder()
    for place in sorted(folder.glob("models--*--*")) if folder.is_dir() else ():
        repo = place.name.removeprefix("models--").replace("--", "/", 1)
        for snapshot in sorted((place / "snapshots").glob("*")):
            if snapshot.is_dir():
                yield repo, snapshot


def _references(folder: Path) -> Mapping[str, str]:
    """Revisions by commit, main preferred."""
    refs = folder / "refs"
    found = {}
    for path in sorted(refs.rglob("*")) if refs.is_dir() else ():
        if path.is_file():
            commit, name = path.read_text().strip(), path.relative_to(refs).as_posix()
            if name == "main" or commit not in found:
                found[commit] = name
    return found


def remove(name: HubName) -> tuple[int, int]:
    """Removes a model's files; without a type, all GGUF files of the repository.

    Returns:
        How many files were removed, and the bytes that this freed.

    Raises:
        ResourceError: There are none, or they cannot be removed.
    """
    folder = repository_folder(name.repo)
    snapshot = _snapshot(name)
    here = _present(snapshot) if snapshot is not None else []
    if snapshot is None or not group(here):
        raise ResourceError(f"[{name}] The model is not on this computer.")
    files = choose(name, here) if name.wanted else itertools.chain(*group(here).values())
    blobs = {(snapshot / file).resolve() for file in files}
    # A link may lead to a file of the user's own: only the link goes then.
    owned = {blob for blob in blobs if blob.is_relative_to(folder.resolve())}
    size = sum(blob.stat().st_size for blob in owned)
    try:
        for link in (folder / "snapshots").rglob("*.gguf"):
            if link.resolve() in blobs:
                link.unlink()
        for blob in owned:
            blob.unlink(missing_ok=True)
        if not any(path.is_file() for path in (folder / "snapshots").rglob("*")):
            shutil.rmtree(folder)
    except OSError as error:
        raise ResourceError(f"[{name}] The files cannot be removed: {error}.") from error
    return len(blobs), size
