# SPDX-License-Identifier: MIT
"""`gristmill pull`, `list`, `rm`: models of the Hugging Face hub on this computer."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options as o
from .output import LoadingBar, console

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="hf:user/repository[:TYPE], such as :Q4_K_M.")
]


def pull(name: Name, *, as_json: o.Json = False, debug: o.Debug = False) -> int:
    """Download a model from the Hugging Face hub, or go on with a download.

    Files are checked against the hash that the hub states. HF_TOKEN gives access to private and
    gated models, HF_HUB_CACHE says where files go, HF_HUB_OFFLINE=1 forbids the network.
    """
    del debug  # main() reads it
    from gristmill import hub_cache
    from gristmill.hub_download import pull as fetch

    with LoadingBar("downloading") as progress:
        path, fresh = fetch(hub_cache.HubName.parse(name), progress)
    if as_json:
        import json

        print(json.dumps({"path": str(path), "downloaded": fresh}))
    else:
        print(path if fresh else f"{path} (already here)")
    return 0


def list_models(*, as_json: o.Json = False, debug: o.Debug = False) -> int:
    """List the models of the Hugging Face hub on this computer."""
    del debug
    from gristmill import hub_cache
    from gristmill.report import human_bytes

    models = hub_cache.pulled()
    if as_json:
        import json

        data = [
            {"name": m.name, "path": str(m.path), "bytes": m.nbytes, "last_used": m.used}
            for m in models
        ]
        print(json.dumps({"folder": str(hub_cache.cache_folder()), "models": data}, indent=1))
        return 0
    out = console()
    if models:
        import time

        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE)
        table.add_column("name", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("last used", no_wrap=True)
        for model in models:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.used))
            table.add_row(model.name, human_bytes(model.nbytes), used)
        out.print(table)
    total = human_bytes(sum(model.nbytes for model in models))
    out.print(f"{hub_cache.cache_folder()}: {len(models)} models, {total}", soft_wrap=True)
    return 0


def rm(name: Name, *, debug: o.Debug = False) -> int:
    """Remove a model of the Hugging Face hub; without a type, all GGUF files of the repository."""
    del debug
    from gristmill import hub_cache
    from gristmill.report import human_bytes

    count, size = hub_cache.remove(hub_cache.HubName.parse(name))
    print(f"removed {count} {'file' if count == 1 else 'files'}, {human_bytes(size)}")
    return 0
