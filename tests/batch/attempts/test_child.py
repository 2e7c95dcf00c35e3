"""Errors for want of memory, by the words of those who raise them."""

from __future__ import annotations

import pytest
from papermill.exceptions import PapermillExecutionError

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.attempts.child import _state

MEMORY = [
    ("MemoryError", ""),
    ("_ArrayMemoryError", "Unable to allocate 7.28 TiB for an array with shape (1000000000000,)"),
    ("ArrowMemoryError", "malloc of size 64 failed"),
    ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB."),
    ("RuntimeError", "CUDA error: out of memory"),
    ("RuntimeError", "MPS backend out of memory (MPS allocated: 9.05 GB)"),
    (
        "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)",
    ),
    ("OSError", "[Errno 12] Cannot allocate memory"),
    ("RuntimeError", "std::bad_alloc"),
    ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4000 bytes."),
    ("JaxRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 4000000000000 bytes."),
    ("ResourceExhaustedError", "OOM when allocating tensor with shape[1000,1000]"),
]
OTHERS = [
    ("ValueError", "no such thing"),
    ("RpcError", "RESOURCE_EXHAUSTED: quota exceeded"),
    ("KeyError", "'memory'"),
    ("JaxRuntimeError", "INTERNAL: something else"),
]


def raised(name: str, text: str) -> PapermillExecutionError:
    return PapermillExecutionError(3, 3, "x", name, text, [])


@pytest.mark.parametrize(("name", "text"), MEMORY)
def test_errors_for_want_of_memory(name: str, text: str) -> None:
    assert _state(raised(name, text)) is State.OUT_OF_MEMORY


@pytest.mark.parametrize(("name", "text"), OTHERS)
def test_other_errors(name: str, text: str) -> None:
    assert _state(raised(name, text)) is State.FAILED
