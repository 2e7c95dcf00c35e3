"""The processor: its name, and what it has instructions for."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import psutil

_CPUINFO = Path("/proc/cpuinfo")
_SYSCTL_SECONDS = 5.0

_FLAGS: dict[str, set[str]] = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "AVX-VNNI": {"avx_vnni"},
    "AVX-512 VNNI": {"avx512_vnni"},
    "AVX-512 BF16": {"avx512_bf16"},
    "AVX-512 FP16": {"avx512_fp16"},
    "AMX INT8": {"amx_int8"},
    "AMX BF16": {"amx_bf16"},
    "AMX FP16": {"amx_fp16"},
    "NEON": {"asimd", "advsimd"},
    "NEON FP16": {"asimdhp", "feat_fp16"},
    "NEON dot product": {"asimddp", "feat_dotprod"},
    "Arm BF16": {"bf16", "feat_bf16"},
    "Arm I8MM": {"i8mm", "feat_i8mm"},
    "SVE": {"sve"},
    "SME": {"sme", "feat_sme"},
}
"""What Linux and macOS call the instruction sets that matter to matrix products."""

_RUN_BY = {
    "bf16": {"AVX-512 BF16", "AMX BF16", "Arm BF16"},
    "fp16": {"AVX-512 FP16", "AMX FP16", "NEON FP16"},
    "int8": {"AVX-VNNI", "AVX-512 VNNI", "AMX INT8", "NEON dot product", "Arm I8MM"},
}


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Return the processor's name and the instruction sets it has for matrix products.

    They are read from /proc/cpuinfo on Linux, from sysctl on macOS; elsewhere none are known.
    """
    if _CPUINFO.exists():
        name, flags = _from_cpuinfo(_CPUINFO.read_text(errors="replace"))
    elif sys.platform == "darwin":
        name, flags = _from_sysctl(_sysctl())
    else:
        name, flags = "", set()
    found = tuple(known for known, called in _FLAGS.items() if called & flags)
    return name or platform.processor() or platform.machine() or "unknown", found


def usable_cores() -> int:
    """Return how many of the processor's cores this process may use."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return len(psutil.Process().cpu_affinity())
    return psutil.cpu_count() or 1


def precisions(instructions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the precisions that instructions run: fp32 always, others where there are any."""
    return ("fp32", *(name for name, by in _RUN_BY.items() if by & {*instructions}))


def _from_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Read the first processor's lines; x86 says "flags", Arm "Features" and no name."""
    lines = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in reversed(text.splitlines()))
    }
    flags = lines.get("flags") or lines.get("Features") or ""
    return lines.get("model name", ""), {*flags.lower().split()}


def _from_sysctl(text: str) -> tuple[str, set[str]]:
    """Read `name: value` lines; Apple's chips have a name for each feature with 1 or 0."""
    lines = {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = {
        name.rsplit(".", 1)[-1].lower()
        for name, value in lines.items()
        if name.startswith("hw.optional.") and value == "1"
    }
    return lines.get("machdep.cpu.brand_string", ""), flags


def _sysctl() -> str:
    try:
        return subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional"],
            capture_output=True, text=True, timeout=_SYSCTL_SECONDS,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
