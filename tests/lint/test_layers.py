# SPDX-License-Identifier: MIT
"""The layout is the layer diagram: includes point down, formats and models stay at home."""

from __future__ import annotations

import re
from pathlib import Path

from lint_sources import CPP_SUFFIXES, ROOT, name_of, sources, strip_cpp

# A file may include its own folder and folders of a lower rank; simd is below kernels.
RANKS = {
    "base": 0,
    "gguf": 1,
    "formats": 1,
    "simd": 2,
    "kernels": 3,
    "panels": 4,
    "quantize": 4,
    "plan": 5,
    "runtime": 6,
    "devices": 7,
    "bindings": 8,
}
# Written by CMake: which ISA levels a build has.
GENERATED = {"isa_levels.h"}
# gguf knows the types' sizes; formats never look at a file.
ALLOWED_ACROSS = {("gguf", "formats")}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
MODEL_NAMES = re.compile(
    r"\b(llama(?!\.cpp|2\.c)|tinyllama|qwen|gemma|mi[sx]tral|phi-?[1-9]|falcon|gpt-?2|gptneox"
    r"|starcoder|deepseek|mamba|rwkv|bert|olmo|granite|cohere)",
    re.IGNORECASE,
)
ARCHITECTURE_TEST = re.compile(r"\barch(?:itecture)?(?:_name)?\s*(?:==|!=|\bin\s*[(\[{])")
ISA_SYSTEM_HEADERS = {"bit", "cstdint", "cstddef", "cstring", "immintrin.h", "arm_neon.h"}

FORMATS_DEF = (ROOT / "csrc/formats/formats.def").read_text(encoding="utf-8")
# One value per block: a conversion each, no blocks to unpack.
PLAIN_FLOATS = {"F32", "F16", "BF16"}
# Formats whose panels hold codes (panels/recode.h) share the file of their code size.
CODES = {
    "codes2": {"IQ1_S", "TQ1_0", "TQ2_0"},
    "codes3": {"IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S"},
    "codes4": {"IQ3_XXS", "IQ3_S"},
}
FORMATS = re.findall(r"^GM_FORMAT\((\w+),", FORMATS_DEF, re.MULTILINE)


def _includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def test_include_direction() -> None:
    problems = []
    for path in sources(*CPP_SUFFIXES, under=("csrc",)):
        folder = path.relative_to(ROOT / "csrc").parts[0]
        assert folder in RANKS, f"{name_of(path)}: a folder that the layer diagram lacks"
        for quote, header in _includes(path):
            if quote != '"' or header in GENERATED:
                continue
            target = header.split("/")[0]
            lower = RANKS.get(target, 99) < RANKS[folder] or target == folder
            if not lower and (folder, target) not in ALLOWED_ACROSS:
                problems.append(f"{name_of(path)} includes {header}, which is not below {folder}")
            if not (ROOT / "csrc" / header).exists():
                problems.append(f"{name_of(path)} includes {header}: write paths from csrc/")
    assert not problems, "\n".join(problems)


def test_isa_code_includes_no_library() -> None:
    """An inline function of the standard library, compiled with AVX-512, may win at link time."""
    files = [
        *sources(".cpp", under=("csrc/kernels/isa",)),
        *sources(".h", under=("csrc/simd",)),
        *(f for f in sources(".h", under=("csrc/kernels",)) if f.name.endswith(".inl.h")),
    ]
    assert files, "no ISA code found"
    problems = [
        f"{name_of(path)} includes <{header}>"
        for path in files
        for quote, header in _includes(path)
        if quote == "<" and header not in ISA_SYSTEM_HEADERS
    ]
    assert not problems, "\n".join(problems)


def test_no_model_names_in_the_core() -> None:
    problems = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in sources(*CPP_SUFFIXES, under=("csrc",))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MODEL_NAMES.search(line)
    ]
    assert not problems, "architectures are Python:\n" + "\n".join(problems)


def test_no_architecture_switch_outside_architectures() -> None:
    problems = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in sources(".py", ".cpp", ".h", under=("pyruntime", "csrc"))
        if "architectures" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ARCHITECTURE_TEST.search(line)
    ]
    assert not problems, "\n".join(problems)


def test_every_format_has_its_files_and_its_test_row() -> None:
    """A new format is one line, one header, one unpack file, one row of error budgets."""
    assert len(FORMATS) >= 9
    rows = (ROOT / "tests/oracles/format_budgets.py").read_text(encoding="utf-8")
    problems = []
    for name in FORMATS:
        header, unpack = f"formats/{name.lower()}.h", f"kernels/unpack/{name.lower()}.inl.h"
        for codes, names in CODES.items():
            if name in names:
                unpack = f"kernels/unpack/{codes}.inl.h"
                assert f"using {name}Panel" in (ROOT / "csrc" / unpack).read_text(encoding="utf-8")
        if name in PLAIN_FLOATS:
            header, unpack = "formats/floats.h", "kernels/linear_float.inl.h"
        problems += [
            f"{name} has no csrc/{file}"
            for file in (header, unpack)
            if not (ROOT / "csrc" / file).exists()
        ]
        if f'"{name}":' not in rows:
            problems.append(f"{name} has no row in tests/oracles/format_budgets.py")
    assert not problems, "\n".join(problems)


def test_the_core_neither_prints_nor_aborts() -> None:
    # A bare abort() may be a method of ours; the one of the library is std::abort in C++.
    banned = re.compile(
        r"\bstd::(?:abort|exit|_Exit|quick_exit|terminate|cout|cerr|clog)\b"
        r"|(?<![\w.>])(?:exit|_exit|printf|fprintf|puts|perror|assert)\s*\("
    )
    problems = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in sources(*CPP_SUFFIXES, under=("csrc",))
        for number, line in enumerate(strip_cpp(path.read_text(encoding="utf-8")).splitlines(), 1)
        if banned.search(line) and "static_assert" not in line
    ]
    assert not problems, "\n".join(problems)
