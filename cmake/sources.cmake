# SPDX-License-Identifier: MIT
# One list per folder; the include direction is the order here (a lint test enforces it).
set(GM_BASE
    csrc/base/aligned_buffer.cpp
    csrc/base/cpu_features.cpp
    csrc/base/cpu_topology.cpp
    csrc/base/file_writer.cpp
    csrc/base/map_guard.cpp
    csrc/base/mapped_file.cpp
    csrc/base/thread_pool.cpp)
if(GM_EMULATE_X86)
  list(TRANSFORM GM_BASE REPLACE csrc/base/cpu_features.cpp tests/emulation/cpu_features.cpp)
endif()
set(GM_GGUF
    csrc/gguf/describe_type.cpp
    csrc/gguf/file.cpp
    csrc/gguf/metadata.cpp
    csrc/gguf/reader.cpp
    csrc/gguf/tensor_index.cpp
    csrc/gguf/value_scan.cpp
    csrc/gguf/writer.cpp)
set(GM_FORMATS csrc/formats/convert.cpp csrc/formats/format.cpp)
set(GM_KERNELS csrc/kernels/dispatch.cpp)
set(GM_QUANTIZE csrc/quantize/quantize.cpp)
set(GM_PANELS csrc/panels/panel.cpp csrc/panels/panel_cache.cpp)
set(GM_PLAN
    csrc/plan/plan.cpp
    csrc/plan/plan_check.cpp
    csrc/plan/recurrent_check.cpp
    csrc/plan/validate.cpp
    csrc/plan/validate_weights.cpp)
set(GM_RUNTIME
    csrc/runtime/arena.cpp
    csrc/runtime/cached_panels.cpp
    csrc/runtime/candidates.cpp
    csrc/runtime/compile.cpp
    csrc/runtime/executor.cpp
    csrc/runtime/experts.cpp
    csrc/runtime/kv_cache.cpp
    csrc/runtime/linear_bench.cpp
    csrc/runtime/logit_edits.cpp
    csrc/runtime/memory_plan.cpp
    csrc/runtime/model.cpp
    csrc/runtime/portable_math.cpp
    csrc/runtime/recurrent_state.cpp
    csrc/runtime/recurrent_steps.cpp
    csrc/runtime/roofline.cpp
    csrc/runtime/rope_table.cpp
    csrc/runtime/session.cpp
    csrc/runtime/steps.cpp
    csrc/runtime/taps.cpp
    csrc/runtime/weight_layout.cpp
    csrc/runtime/weights.cpp)
set(GM_BINDINGS
    csrc/bindings/module.cpp
    csrc/bindings/bind_candidates.cpp
    csrc/bindings/bind_errors.cpp
    csrc/bindings/bind_gguf.cpp
    csrc/bindings/bind_gguf_writer.cpp
    csrc/bindings/bind_formats.cpp
    csrc/bindings/bind_machine.cpp
    csrc/bindings/bind_memory.cpp
    csrc/bindings/bind_quantize.cpp
    csrc/bindings/bind_scan.cpp
    csrc/bindings/bind_runtime.cpp
    csrc/bindings/plan_from_dict.cpp)
