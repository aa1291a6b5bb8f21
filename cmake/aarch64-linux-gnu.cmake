# SPDX-License-Identifier: MIT
# Cross compiler for 64-bit ARM Linux; tests run under qemu-user, as the CPU that QEMU_CPU names
# (cortex-a53: level neon, cortex-a76: neon_dot, max: neon_i8mm). Debian and Ubuntu:
#   apt-get install g++-aarch64-linux-gnu qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
