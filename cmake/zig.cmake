# SPDX-License-Identifier: MIT
# zig as a cross compiler, for the files beside this one that set GM_ZIG_TARGET. It brings the C and
# C++ libraries of its targets: pip install ziglang.
find_program(GM_PYTHON NAMES python3 python REQUIRED)
set(CMAKE_CXX_COMPILER ${GM_PYTHON} -m ziglang c++ -target ${GM_ZIG_TARGET})
set(CMAKE_CXX_ARCHIVE_CREATE "${GM_PYTHON} -m ziglang ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
