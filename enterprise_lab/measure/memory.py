"""The most memory that work held at once."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import psutil

from enterprise_lab.errors import LabError, require_one_of
from enterprise_lab.measure.devices import Kind
from enterprise_lab.measure.sampling import every

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
"""What Linux is told to forget a process's peak, see proc_pid_clear_refs(5)."""
_KIB = 1024
_SAMPLE_SECONDS = 0.005
_WITH_ALLOCATORS = ("cuda", "tpu")


class PeakMemory:
    """See what is held inside `with PeakMemory("cuda") as peak:`; then `peak.bytes`.

    That is how far it grew at most from what was held at the start, garbage collected: a model
    counts only if it is built inside. "cuda" is what PyTorch's allocator had given out on the GPU;
    or, where PyTorch asked for no more inside and JAX has begun to use its devices, JAX's. "tpu" is
    JAX's. JAX only knows its peak since the process began: all that it held counts. Anything else
    is this process's resident memory: by the system's own mark on Linux, elsewhere by a look every
    5 ms.

    One may be opened inside another. The work's result, or its error, outlives a peak that can't be
    read: `bytes` is what raises LabError then. Raises InvalidValueError for an unknown kind.
    """

    _all_open: ClassVar[list[PeakMemory]] = []

    def __init__(self, kind: Kind = "cpu") -> None:
        require_one_of("kind", kind, get_args(Kind))
        self._kind = kind
        self._bytes: int | None = None

    def __enter__(self) -> Self:
        for outer in self._all_open:
            outer._look()  # before the marks that it reads are forgotten
        gc.collect()  # or what earlier work left would count, or be freed inside
        self._looking = ExitStack()
        if self._kind in _WITH_ALLOCATORS:
            _forget_torch_peak()
            self._peak = _torch_peak
            self._before = self._most = self._peak()
        else:
            _give_back()
            self._before = self._most = _resident()
            marked = _forget_peak()
            self._peak = _marked_peak if marked else _resident
            if not marked:
                self._looking.enter_context(every(_SAMPLE_SECONDS, self._look))
        self._all_open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._all_open.remove(self)
        with suppress(Exception):
            self._looking.close()
            self._look()
            self._bytes = self._found()

    @property
    def bytes(self) -> int:
        """The most that was held; LabError where that could not be read."""
        if self._bytes is None:
            raise LabError(
                f"The peak of the {self._kind} memory could not be read.",
                "Go on without it, or restart the kernel and measure again.",
            )
        return self._bytes

    def _look(self) -> None:
        self._most = max(self._most, self._peak())

    def _found(self) -> int:
        grown = self._most - self._before
        by_jax = self._kind == "tpu" or (self._kind == "cuda" and not grown)
        return _jax_peak() if by_jax and _jax_has_begun() else grown


def _torch_on_cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _forget_torch_peak() -> None:
    torch = _torch_on_cuda()
    if torch:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def _torch_peak() -> int:
    torch = _torch_on_cuda()
    if not torch:
        return 0
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def _jax_has_begun() -> bool:
    """Return whether JAX has looked for devices, without making it do so: it may take a GPU."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())


def _jax_peak() -> int:
    chip = sys.modules["jax"].local_devices()[0]
    return int(chip.memory_stats()["peak_bytes_in_use"]) if chip.platform != "cpu" else 0


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _give_back() -> None:
    """Give freed memory back to the system, so that using it again counts as growth."""
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
