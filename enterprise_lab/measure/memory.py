"""The most memory that work held at once."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from enterprise_lab.measure.devices import Kind
from enterprise_lab.measure.sampling import every

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
"""What Linux is told to forget a process's peak, see proc_pid_clear_refs(5)."""
_KIB = 1024
_SAMPLE_SECONDS = 0.005


class PeakMemory:
    """See what is held inside `with PeakMemory("cuda") as peak:`; then `peak.bytes`.

    "cuda" and "tpu" are the most that the allocators of PyTorch and JAX had given out on the
    device, with what was there before; JAX only knows its peak since the process began. Anything
    else is how far this process's resident memory grew at most, from what it held at the start: by
    the system's own mark on Linux, elsewhere by a look every 5 ms.
    """

    bytes: int

    def __init__(self, kind: Kind = "cpu") -> None:
        self._kind = kind

    def __enter__(self) -> Self:
        self._open = ExitStack()
        if self._kind in ("cuda", "tpu"):
            _reset_allocators()
            return self
        _give_back()
        self._before = self._most = _resident()
        self._marked = _forget_peak()
        if not self._marked:
            self._open.enter_context(every(_SAMPLE_SECONDS, self._look))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        if self._kind in ("cuda", "tpu"):
            self.bytes = _allocated(self._kind)
        else:
            most = _marked_peak() if self._marked else self._most
            self.bytes = max(0, most - self._before)

    def _look(self) -> None:
        self._most = max(self._most, _resident())


def _torch_on_cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _reset_allocators() -> None:
    torch = _torch_on_cuda()
    if torch:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def _allocated(kind: Kind) -> int:
    torch, jax, most = _torch_on_cuda(), sys.modules.get("jax"), 0
    if torch and kind == "cuda":
        torch.cuda.synchronize()
        most += int(torch.cuda.max_memory_allocated())
    if jax is not None:
        chip = jax.local_devices()[0]
        if chip.platform in ("gpu", "tpu"):
            most += int((chip.memory_stats() or {}).get("peak_bytes_in_use", 0))
    return most


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _give_back() -> None:
    """Give freed memory back to the system, so that using it again counts as growth."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:  # glibc's
            trim(0)


def _forget_peak() -> bool:
    """Set the system's mark of this process's peak to what it holds now; False without one."""
    try:
        _FORGET.write_text(_FORGET_PEAK)
        _marked_peak()
    except OSError:
        return False
    return True


def _marked_peak() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KIB
    raise OSError("this system keeps no mark of the peak")
