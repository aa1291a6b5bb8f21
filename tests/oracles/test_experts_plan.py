# SPDX-License-Identifier: MIT
"""Plans with experts are untrusted, too: what is wrong with one is an error before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hf_tiny import convert_folder, save_checkpoint
from test_parity_goldens import recorded

from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import GristmillError
from gristmill.gguf import File

Dict = dict[str, Any]


@pytest.fixture(scope="module")
def file(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> File:
    folder = tmp_path_factory.mktemp("experts")
    save_checkpoint(folder, *recorded("mixtral", data_dir))
    return File(convert_folder(folder))


def lists(value: Any) -> Any:
    """The same with lists in place of tuples, which cannot be damaged."""
    if isinstance(value, dict):
        return {key: lists(item) for key, item in value.items()}
    return [lists(item) for item in value] if isinstance(value, list | tuple) else value


def op(plan: Dict, name: str) -> Dict:
    found: Dict = next(o for o in plan["ops"] if o["op"] == name)
    return found


def weight(plan: Dict, part: int) -> Dict:
    found: Dict = plan["weights"][op(plan, "experts")["weights"][part]]
    return found


DAMAGE: list[tuple[Callable[[Dict], Any], str]] = [
    (lambda plan: op(plan, "route").update(used=0), "are used"),
    (lambda plan: op(plan, "route").update(used=7), "are used"),
    (lambda plan: op(plan, "route").update(used=1), "width of the routes"),
    (lambda plan: op(plan, "route").update(scale=0.0), "scale of shares"),
    (lambda plan: op(plan, "route").update(gating="relu"), "One of 'softmax', 'sigmoid', 'cho"),
    (lambda plan: op(plan, "route").update(bias=0), "dimensions, expected 1"),
    (lambda plan: op(plan, "route").update(bias=10**6), "does not exist"),
    (lambda plan: op(plan, "experts").update(used=1), "number of experts used"),
    (
        lambda plan: op(plan, "experts").update(routes=op(plan, "route")["x"]),
        "come from the operation route",
    ),
    (lambda plan: op(plan, "experts")["weights"].pop(), "gates, ups and downs"),
    (lambda plan: op(plan, "experts")["weights"].reverse(), "does not fit"),
    (lambda plan: op(plan, "experts").update(biases=[None]), "three biases or none"),
    (lambda plan: op(plan, "experts").update(biases=[None, None, 0]), "bias does not fit"),
    (lambda plan: weight(plan, 0).update(experts=5), "multiple of 16"),
    (lambda plan: weight(plan, 0).update(experts=3), "number of experts of"),
    (lambda plan: weight(plan, 0).update(experts=0), "multiple of 16"),
    (lambda plan: weight(plan, 0).update(shape=[570, 64]), "multiple of 16"),
    *[
        (lambda plan, work=work: plan["buffers"][op(plan, "experts")[work]].update(width=15), work)
        for work in ("pairs", "sorted", "gates", "ups", "hidden", "rows")
    ],
]


@pytest.mark.parametrize(("damage", "fragment"), DAMAGE)
def test_damage_is_refused(file: File, damage: Callable[[Dict], Any], fragment: str) -> None:
    plan = lists(build_plan(file).to_dict())
    _core.Model(file.core, plan, 1)
    damage(plan)
    with pytest.raises(GristmillError, match=f"(?i){fragment}"):
        _core.Model(file.core, plan, 1)


def test_routes_are_not_changed(file: File) -> None:
    """An operation that writes over them could name experts that do not exist."""
    plan = lists(build_plan(file).to_dict())
    routes = op(plan, "experts")["routes"]
    norm = op(plan, "rms_norm") | {"act": None, "out": routes, "accumulate": True}
    at = next(i for i, o in enumerate(plan["ops"]) if o["op"] == "experts")
    plan["ops"].insert(at, norm)
    with pytest.raises(GristmillError, match="are not changed"):
        _core.Model(file.core, plan, 1)
