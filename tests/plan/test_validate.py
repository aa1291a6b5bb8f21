# SPDX-License-Identifier: MIT
"""A plan is untrusted input: whatever is wrong with it is a typed error before anything is loaded.

Each case breaks a good plan in one place. The last tests break it at random: the core may refuse
the result or run it, but nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_llama import Tiny

import gguf
from gristmill import _core
from gristmill.architectures import build_plan
from gristmill.errors import FormatError, GristmillError, ShapeError, UnsupportedError
from gristmill.gguf import File

MakeFile = Callable[[Tiny], Path]
Dict = dict[str, Any]
SHAPE = Tiny(layers=2, factors=True)


@pytest.fixture(scope="module")
def file(tiny: MakeFile) -> File:
    return File(tiny(SHAPE))


@pytest.fixture(scope="module")
def good(file: File) -> Dict:
    return build_plan(file).to_dict()


def op(plan: Dict, name: str, nth: int = 0) -> Dict:
    found: Dict = [o for o in plan["ops"] if o["op"] == name][nth]
    return found


def change(*path: Any, to: Any) -> Callable[[Dict], None]:
    """Sets the value at a path; a string at ops means the first operation of that name."""

    def apply(plan: Dict) -> None:
        at: Any = plan
        for step in path[:-1]:
            named = at is plan["ops"] and isinstance(step, str)
            at = op(plan, step) if named else at[step]
        if callable(to):
            at[path[-1]] = to(at[path[-1]])
        else:
            at[path[-1]] = to

    return apply


def drop(*path: Any) -> Callable[[Dict], None]:
    def apply(plan: Dict) -> None:
        at: Any = plan
        for step in path[:-1]:
            at = op(plan, step) if at is plan["ops"] and isinstance(step, str) else at[step]
        del at[path[-1]]

    return apply


def swap_ops(i: int, j: int) -> Callable[[Dict], None]:
    def apply(plan: Dict) -> None:
        ops = plan["ops"]
        ops[i], ops[j] = ops[j], ops[i]

    return apply


def repeat_op(i: int) -> Callable[[Dict], None]:
    def apply(plan: Dict) -> None:
        plan["ops"].insert(i, copy.deepcopy(plan["ops"][i]))

    return apply


def share_slots(plan: Dict) -> None:
    for buffer in plan["buffers"]:
        buffer["slot"] = 0


NOT_A_PLAN = [
    (drop("version"), "'version' is missing"),
    (change("version", to=1), "version 2"),
    (drop("ops"), "'ops' is missing"),
    (change("ops", to={}), "list"),
    (change("ops", to=[]), "operations"),
    (change("ops", 0, to=7), "dict"),
    (change("ops", 0, "op", to="explode"), "explode"),
    (drop("ops", "embed", "weight"), r"ops\[0\].*'weight' is missing"),
    (change("ops", "embed", "out", to="x"), "whole number"),
    (change("ops", "embed", "out", to=True), "whole number"),
    (change("ops", "embed", "out", to=-1), "0 to"),
    (change("ops", "embed", "out", to=2**70), "0 to"),
    (change("ops", "embed", "extra", to=1), "'extra' is unknown"),
    (change("surprise", to=1), "'surprise' is unknown"),
    (change("ops", "rms_norm", "eps", to="small"), "number is needed"),
    (change("ops", "rms_norm", "eps", to=float("nan")), "eps"),
    (change("ops", "rms_norm", "eps", to=10**400), "too large"),
    (change("ops", "linear", "accumulate", to=0), "True or False"),
    (change("ops", "linear", "weights", to=5), "list"),
    (change("buffers", 0, "kind", to="f16"), "f16"),
    (change("buffers", 0, "width", to=0), "width"),
    (change("buffers", 0, "width", to=2**62), "width"),
    (change("buffers", 0, "slot", to=10**6), "slot"),
    (change("weights", 0, "name", to=b"x"), "Text"),
    (change("weights", 0, "shape", to=[1, 2, 3]), "dimensions"),
    (change("weights", 0, "shape", to=[2**40, 2**40]), "dimension"),
    (change("vocab_size", to=0), "vocabulary"),
    (change("vocab_size", to=2**62), "vocabulary"),
    (change("layers", 0, "head_dim", to=0), "head size"),
    (change("layers", 0, "kv_heads", to=2**40), "KV heads"),
    (change("ropes", to=lambda ropes: ropes * 100), "rope tables"),
    (change("ropes", 0, "n_rot", to=7), "even"),
    (change("ropes", 0, "n_rot", to=0), "even"),
    (change("ropes", 0, "freq_base", to=0.0), "frequency base"),
    (change("ropes", 0, "freq_base", to=float("inf")), "frequency base"),
    (change("ropes", 0, "scale", to=-1.0), "scale"),
    (change("ropes", 0, "factors", to=999), "Weight 999"),
    (change("ropes", 0, "long_factors", to=999), "Weight 999"),
    (change("ropes", 0, "magnitude", to=0.0), "magnitude"),
    (change("ropes", 0, "scales", to=[0.0] * 8), "scale of a pair"),
    (change("ropes", 0, "scales", to=["x"] * 8), "number is needed"),
    (change("ropes", 0, "query_slope", to=0.1), "length of query scales"),
    (change("ropes", 0, "query_slope", to=float("nan")), "slope"),
    (change("weights", 1, "first_row", to=1), "number of rows"),
    (change("weights", 1, "of_rows", to=1), "slice lies within"),
    (change("ops", "embed", "scale", to=0.0), "scale of embeddings"),
    (change("ops", "rms_norm", "heads", to=0), "heads of one length"),
    (change("ops", "rms_norm", "heads", to=3), "heads of one length"),
    (change("ops", "rms_norm", "accumulate", to=True), "no activations"),
    (change("ops", "linear", "scale", to=float("inf")), "scale of a linear"),
    (change("ops", "linear", "biases", to=[0]), "one per weight"),
    (change("ops", "linear", "biases", to=[999] * 3), "Weight 999"),
    (change("ops", "linear", "factors", to=[0]), "one per weight"),
    (change("ops", "linear", "factors", to=[999] * 3), "Weight 999"),
    (change("ops", "attention", "softcap", to=-1.0), "soft cap"),
    (change("ops", "glu", "activation", to="relu"), "relu"),
    (change("ops", "logits", "softcap", to=float("nan")), "soft cap"),
    (change("ops", "logits", "scale", to=-1.0), "scale of logits"),
    (change("ops", "embed", "out", to=999), "Buffer 999"),
    (change("ops", "embed", "weight", to=999), "Weight 999"),
    (change("ops", "rope_store", "layer", to=9), "Layer 9"),
    (change("ops", "rope_store", "rope", to=9), "Rope table 9"),
    (change("ops", "rope_store", "heads", to=3), "multiple"),
    (change("ops", "rope_store", "heads", to=0), "multiple"),
    (change("ops", "rope_store", "heads", to=2 * 129), "share a KV head"),
    (change("ops", "attention", "layer", to=1), "before it is stored"),
    (change("ops", "attention", "scale", to=0.0), "scale"),
    (change("ops", "attention", "scale", to=float("nan")), "scale"),
    (change("ops", "quantize", "act", to=0), "defined twice"),
    (change("ops", "linear", "act", to=0), "wrong kind"),
    (change("ops", "linear", "outs", to=lambda outs: outs[:2]), "as many"),
    (change("ops", "linear", "outs", to=lambda outs: (outs[0], outs[0], outs[2])), "twice"),
    (swap_ops(0, 1), "read before"),
    (swap_ops(3, 4), "before it is stored"),
    (repeat_op(0), "twice"),
    (repeat_op(3), "stored twice"),
    (lambda plan: plan["ops"].pop(), "last operation"),
    (lambda plan: plan["ops"].append(plan["ops"][-1]), "last operation"),
    (lambda plan: plan["buffers"].append(dict(plan["buffers"][0])), "never written"),
]

DOES_NOT_FIT = [
    (share_slots, "share slot"),
    (change("buffers", 0, "width", to=63), "fit"),
    (change("buffers", 2, "width", to=128), "rows of"),
    (change("buffers", 0, "rows", to="logits"), "rows"),
    (change("layers", 0, "head_dim", to=8), "width of q"),
    (change("layers", 0, "kv_heads", to=1), "width of k"),
    (change("ops", "glu", "up", to=lambda up: up - 4), "fit|wrong|read"),
    (change("ops", "embed", "weight", to=1), "dimensions"),
    (change("ops", "rope_store", "k", to=2), "fit|used again"),
    (change("ropes", 0, "n_rot", to=12), "one per pair"),
    (change("ropes", 0, "scales", to=[1.0] * 3), "one per pair"),
    (change("ops", "rms_norm", "heads", to=2), "length of"),
    (change("ops", "linear", "biases", to=[1] * 3), "length of the bias"),
    (change("ops", "linear", "factors", to=[1] * 3), "length of the factor"),
    (change("vocab_size", to=71), "rows"),
    (change("weights", 0, "name", to="token_embd.wait"), "'token_embd.wait' is missing"),
]


@pytest.mark.parametrize(("damage", "fragment"), NOT_A_PLAN)
def test_not_a_plan(file: File, good: Dict, damage: Callable[[Dict], None], fragment: str) -> None:
    plan = copy.deepcopy(good)
    damage(plan)
    with pytest.raises(FormatError, match=fragment):
        _core.Model(file.core, plan, 1)


@pytest.mark.parametrize(("damage", "fragment"), DOES_NOT_FIT)
def test_does_not_fit(
    file: File, good: Dict, damage: Callable[[Dict], None], fragment: str
) -> None:
    plan = copy.deepcopy(good)
    damage(plan)
    with pytest.raises((ShapeError, FormatError), match=fragment):
        _core.Model(file.core, plan, 1)


def test_the_good_plan_runs(file: File, good: Dict) -> None:
    session = _core.Session(_core.Model(file.core, good, 1), 8)
    session.forward([1, 2])
    assert np.isfinite(session.logits()).all()


def test_all_missing_and_misshaped_tensors_are_listed(file: File, good: Dict) -> None:
    plan = copy.deepcopy(good)
    names = [weight["name"] for weight in plan["weights"]]
    for i in (3, 5):
        plan["weights"][i]["name"] = f"missing.{i}"
    rows, k = plan["weights"][names.index("output.weight")]["shape"]
    swapped = Tiny(vocab=rows + 1)
    with pytest.raises(ShapeError) as error:
        _core.Model(file.core, plan, 1)
    assert "'missing.3' is missing" in str(error.value)
    assert "'missing.5' is missing" in str(error.value)
    assert swapped.dim == k


def test_types_without_kernels_are_listed(tmp_path: Path, tiny: MakeFile) -> None:
    """The same tensors, two of them in types that are data only."""
    source = gguf.GGUFReader(tiny(Tiny(dim=256, ffn=256)))
    path = tmp_path / "types.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for tensor in source.tensors:
        dtype = {"blk.0.attn_q.weight": np.float64, "blk.1.ffn_up.weight": np.int32}.get(
            tensor.name
        )
        writer.add_tensor(tensor.name, np.array(tensor.data, dtype=dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plan = build_plan(File(tiny(Tiny(dim=256, ffn=256)))).to_dict()
    with pytest.raises(UnsupportedError) as error:
        _core.Model(File(path).core, plan, 1)
    assert "'blk.0.attn_q.weight' has type F64" in str(error.value)
    assert "'blk.1.ffn_up.weight' has type I32" in str(error.value)


def test_norms_are_plain_values(tiny: MakeFile) -> None:
    """A norm that points to a matrix is refused, not misread."""
    file = File(tiny(Tiny(dim=256, ffn=256, weights="Q8_0")))
    plan = build_plan(file).to_dict()
    names = [weight["name"] for weight in plan["weights"]]
    at = names.index("blk.0.attn_norm.weight")
    plan["weights"][at]["name"] = "output_norm.weight"
    _core.Model(file.core, plan, 1)  # the same shape: fine
    plan["ops"][1]["weight"] = names.index("blk.0.attn_q.weight")
    with pytest.raises(ShapeError):
        _core.Model(file.core, plan, 1)


@settings(max_examples=150)
@given(st.data())
def test_random_damage_is_refused_or_runs(file: File, good: Dict, data: st.DataObject) -> None:
    plan = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(["ops", "buffers", "weights", "layers", "ropes"]))
        record = data.draw(st.sampled_from(plan[section]))
        key = data.draw(st.sampled_from(sorted(record)))
        numbers = st.integers(0, 30) | st.sampled_from([0, 2**20, 2**31, 2**63, None])
        record[key] = data.draw(
            numbers
            | st.floats()
            | st.booleans()
            | st.sampled_from(["f32", "act", "batch", "logits", "linear", "embed"])
            | st.lists(numbers, max_size=4)
        )
    try:
        model = _core.Model(file.core, plan, 1)
    except GristmillError:
        return
    session = _core.Session(model, 8)
    session.forward([1, 2, 3])
    session.candidates(3)
