# SPDX-License-Identifier: MIT
"""The commands with the bundled model, through pipes as scripts use them."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import cycle
from pathlib import Path

import pytest
from terminal import COMMAND, environment, one_sentence, run

from gristmill import _core
from make_model import matrices, random_model
from shapes import Shape

ESCAPE = b"\x1b"


def test_run_goes_on_from_the_prompt_and_is_reproducible() -> None:
    arguments = ("run", "Once upon a time", "-n", "24", "--seed", "3", "-t", "2")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode()
    assert text.startswith("Once upon a time")
    assert len(text) > 40
    assert text.endswith("\n")
    assert ESCAPE not in done.stdout
    assert run(*arguments).stdout == done.stdout
    bare = run(*arguments, "--no-echo").stdout.decode()
    assert "Once upon a time" + bare == text


def test_run_reads_pipes_files_and_options(tmp_path: Path) -> None:
    options = ("-n", "8", "--temp", "0")
    expected = run("run", "The little dog", *options).stdout
    (tmp_path / "prompt.txt").write_text("The little dog\n")
    assert expected.startswith(b"The little dog")
    assert run("run", *options, stdin=b"The little dog\n").stdout == expected
    assert run("run", "-", *options, stdin=b"The little dog\r\n").stdout == expected
    assert run("run", "-f", str(tmp_path / "prompt.txt"), *options).stdout == expected
    assert run("run", "-p", "The little dog", *options).stdout == expected


def test_markup_in_texts_is_text() -> None:
    prompt = "[bold]x[/bold] :smile: [link=http://a]"
    done = run("run", prompt, "-n", "1", "--temp", "0")
    assert done.stdout.decode().startswith(prompt)


def test_run_json_is_one_object() -> None:
    done = run("run", "Once", "-n", "5", "--json", "--seed", "4", "--ignore-eos")
    data = json.loads(done.stdout)
    assert data["prompt"] == "Once"
    assert (data["generated_tokens"], data["finish_reason"], data["seed"]) == (5, "length", 4)
    assert data["text"]


def test_run_chat_answers_without_the_prompt() -> None:
    done = run("run", "Hello", "--chat", "--temp", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    other = run("run", "Hello", "--system", "You are a pirate.", "--temp", "0", "--json")
    assert json.loads(other.stdout)["prompt_tokens"] > 5


def test_stop_strings_and_statistics() -> None:
    whole = run("run", "Once upon a time", "-n", "30", "--temp", "0", "--no-echo").stdout.decode()
    stop = whole[25:32]
    done = run(
        "run", "Once upon a time", "-n", "30", "--temp", "0", "--no-echo", "--stop", stop, "--stats"
    )
    assert done.stdout.decode().rstrip("\n") == whole[: whole.index(stop)].rstrip("\n")
    stderr = done.stderr.decode()
    assert "ended by stop" in stderr
    assert "kernels" in stderr
    assert "tokens/s" in stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_letters_gets_others(encoding: str) -> None:
    done = run("run", "\u4f60\u597d", "-n", "1", env=environment(PYTHONIOENCODING=encoding))
    assert done.returncode == 0
    assert done.stdout.startswith(b"??")


def test_a_reader_that_leaves_is_no_error() -> None:
    command, arguments = " ".join(COMMAND), "run 'One\ntwo' -n 200 --ignore-eos"
    done = subprocess.run(
        ["bash", "-c", f"{command} {arguments} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.stdout == b"One\n0\n"
    assert done.stderr == b""


def test_prompts_longer_than_the_context_say_the_numbers() -> None:
    done = run("run", "word " * 200, "-c", "64")
    text = one_sentence(done.stderr)
    assert done.returncode == 1
    assert "holds 64" in text
    assert "-c" in text


def bad_files(folder: Path) -> dict[str, Path]:
    from gristmill import hub

    data = hub.bundled_model().read_bytes()
    contents = {
        "empty": b"",
        "text": b"Once upon a time\n" * 100,
        "magic only": b"GGUF",
        "version 99": b"GGUF\x63" + data[5:4096],
        "cut header": data[:2000],
        "cut tensors": data[: len(data) // 2],
        "huge counts": data[:8] + b"\xff" * 15 + b"\x7f" + data[24:4096],
    }
    files = {}
    for name, content in contents.items():
        files[name] = folder / f"{name.replace(' ', '-')}.gguf"
        files[name].write_bytes(content)
    files["a folder"] = folder
    files["nothing"] = folder / "nothing.gguf"
    files["a pipe"] = folder / "pipe"
    os.mkfifo(files["a pipe"])
    if os.getuid() != 0:  # root reads everything
        files["unreadable"] = folder / "unreadable.gguf"
        files["unreadable"].write_bytes(data)
        files["unreadable"].chmod(0)
    return files


@pytest.mark.parametrize("command", ["run", "inspect", "plan", "bench", "chat"])
def test_bad_files_are_one_sentence_and_exit_code_1(tmp_path: Path, command: str) -> None:
    for name, path in bad_files(tmp_path).items():
        done = run(*(["run", "hi"] if command == "run" else [command]), "-m", str(path))
        assert one_sentence(done.stderr), name
        assert (done.returncode, done.stdout) == (1, b""), (name, done)


def test_debug_shows_the_traceback() -> None:
    done = run("run", "hi", "-m", "nothing.gguf", "--debug")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"gristmill: ")


def test_unknown_kernel_levels_are_an_error() -> None:
    done = run("run", "hi", "--isa", "sse9")
    assert done.returncode == 1
    assert "sse9" in one_sentence(done.stderr)
    done = run("run", "hi", env=environment(GRISTMILL_ISA="sse9"))
    assert done.returncode == 1
    assert "sse9" in one_sentence(done.stderr)


def test_inspect_shows_metadata_tensors_and_memory() -> None:
    done = run("inspect")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    for word in ("general.architecture", "llama", "token_embd.weight", "Q8_0", "kv_cache", "total"):
        assert word in text
    assert ESCAPE not in done.stdout
    assert max(map(len, text.splitlines())) < 400  # long arrays are abbreviated


def test_inspect_json_agrees_with_the_gguf_package() -> None:
    gguf = pytest.importorskip("gguf", reason="the gguf package writes the file here")
    from gristmill import hub

    data = json.loads(run("inspect", "--json").stdout)
    reader = gguf.GGUFReader(hub.bundled_model())
    ours = {t["name"]: (t["type"], tuple(t["shape"]), t["bytes"]) for t in data["tensors"]}
    theirs = {
        t.name: (t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), int(t.n_bytes))
        for t in reader.tensors
    }
    assert ours == theirs
    keys = {name for name in reader.fields if not name.startswith("GGUF.")}
    assert set(data["metadata"]) == keys
    assert data["metadata"]["general.architecture"] == "llama"
    assert data["metadata"]["tokenizer.ggml.tokens"]["length"] > 1000
    assert data["memory_plan"]["memory_bytes"]["kv_cache"] > 0


def test_inspect_plan_lists_the_operations() -> None:
    text = run("inspect", "--plan").stdout.decode()
    for word in ("rms_norm", "attention", "blk.0.attn_q.weight"):
        assert word in text
    assert "plan" in json.loads(run("inspect", "--plan", "--json").stdout)


def test_a_file_of_every_tensor_type(tmp_path: Path) -> None:
    """As mixes that choose a type for each tensor."""
    path = tmp_path / "mix.gguf"
    types = sorted(t for t, *_, status in _core.tensor_types() if status == "supported")
    shape = Shape(dim=256, ffn=512, layers=4, heads=4, kv_heads=2, vocab=403, context=64)
    names = [name.removesuffix(".weight") for name, *_ in matrices(shape)]
    random_model(path, shape, dict(zip(names, cycle(types), strict=False)), seed=6)
    shown = run("inspect", str(path))
    assert shown.returncode == 0, shown.stderr
    assert set(types) <= set(shown.stdout.decode().split())
    options = ("-m", str(path), "-n", "8", "--temp", "0", "--ignore-eos", "--json")
    done = run("run", "abc", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["generated_tokens"] == 8


def test_inspect_shows_what_it_cannot_run(tmp_path: Path) -> None:
    from gristmill.gguf import Writer

    path = tmp_path / "alien.gguf"
    with Writer(path) as writer:
        writer.add("general.architecture", "alien")
        writer.add("general.name", "[red]A\x1b[31m name[/red]")
    done = run("inspect", str(path))
    assert done.returncode == 0, done.stderr
    assert "alien" in done.stdout.decode()
    assert "[red]A?[31m name[/red]" in done.stdout.decode()
    assert ESCAPE not in done.stdout
    assert "llama" in done.stdout.decode()  # the list of architectures that would do
    refused = run("inspect", str(path), "--plan")
    assert refused.returncode == 1
    assert "alien" in one_sentence(refused.stderr)


def test_bench_gives_speeds_and_fractions_of_measured_peaks() -> None:
    done = run("bench", "-p", "32", "-n", "8", "-r", "2", "-t", "1", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    machine, prefill, decode, model = (
        data[key] for key in ("machine", "prefill", "decode", "model")
    )
    assert (machine["threads"], prefill["tokens"], decode["tokens"]) == (1, 32, 8)
    assert machine["cpu"]
    assert machine["isa"]
    assert len(prefill["samples"]) == len(decode["samples"]) == 2
    assert decode["fraction_of_bandwidth"] == pytest.approx(
        decode["tokens_per_s"] * model["weight_bytes_per_token"] / machine["bandwidth_bytes_per_s"]
    )
    macs = model["macs_per_token"] + model["macs_per_logits_row"] / 32
    assert prefill["fraction_of_int8_peak"] == pytest.approx(
        prefill["tokens_per_s"] * macs / machine["int8_macs_per_s"]
    )
    assert 0 < prefill["fraction_of_int8_peak"] < 1.1
    assert data["peak_rss_bytes"] > 2**20
    assert data["load"]["to_first_token_seconds"] > data["load"]["seconds"] > 0
    assert data["time_to_first_token_s"] > 0
    assert ESCAPE not in done.stdout


def test_the_figures_behind_the_fractions_are_the_models() -> None:
    """Bytes and multiplications per token, counted from the tensors by hand."""
    from gristmill import Model

    model = Model.load(threads=1)
    linear = [
        t for t in model._file.tensors.values() if t.name.startswith("blk.") and len(t.shape) == 2
    ]
    assert model.macs_per_token == sum(t.shape[0] * t.shape[1] for t in linear)
    width = model.metadata["llama.embedding_length"]
    assert model.macs_per_logits_row == model.vocab_size * width
    stored = sum(t.nbytes for t in linear)
    assert stored < model.weight_bytes < 2 * stored


def test_bench_at_a_depth_and_with_a_quantized_cache() -> None:
    options = ("-p", "16", "-n", "4", "-r", "1", "--depth", "100", "--kv", "q8_0")
    done = run("bench", *options, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["prefill"]["depth"], data["decode"]["depth"]) == (100, 100)
    assert data["model"]["kv"] == "q8_0"
    text = run("bench", *options).stdout.decode()
    assert "prefill 16 at 100" in text
    assert "decode 4 at 100" in text
    assert "q8_0" in text
    done = run("bench", *options, "-c", "110")
    assert done.returncode == 2
    assert "116 tokens" in done.stderr.decode()


def test_types_of_the_kv_cache() -> None:
    done = run("run", "Once", "-n", "4", "--kv", "q4_0", "--stats")
    assert done.returncode == 0, done.stderr
    assert "KV cache in q4_0" in done.stderr.decode()
    done = run("run", "Once", "--kv", "q5_1")
    assert done.returncode == 1
    assert "f16, q8_0, q4_0" in one_sentence(done.stderr)


def test_bench_table_is_plain_in_a_pipe() -> None:
    done = run("bench", "-p", "8", "-n", "4", "-r", "1")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "prefill 8" in text
    assert "%" in text
    assert ESCAPE not in done.stdout
