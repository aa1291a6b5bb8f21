# SPDX-License-Identifier: MIT
# Compiles and links for macOS on Apple silicon; what comes out cannot run here. No frameworks.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(GM_ZIG_TARGET aarch64-macos.13.0)
set(CMAKE_INSTALL_NAME_TOOL true)
set(GM_NEON_DOT_FLAGS -mcpu=generic+dotprod CACHE STRING "")  # see CMakeLists.txt
set(GM_NEON_I8MM_FLAGS -mcpu=generic+dotprod+i8mm CACHE STRING "")
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
