"""The NVIDIA driver's own library, and the GPUs of it that this process may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from enterprise_lab.errors import LabError


@contextmanager
def gpus() -> Iterator[list[Any]]:
    """Give handles of the GPUs this process may use, while the library is open.

    They are those that CUDA_VISIBLE_DEVICES names, in its order, or all. Raises LabError, which
    says why, where there are none.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise _none(f"no NVIDIA driver ({error})") from None
    try:
        try:
            found = _visible(pynvml)
        except pynvml.NVMLError as error:
            raise _none(f"the NVIDIA driver can't say what it has ({error})") from None
        if not found:
            raise _none("the NVIDIA driver shows no GPU to this process")
        yield found
    finally:
        pynvml.nvmlShutdown()


def position() -> int:
    """Return which of `gpus()` PyTorch works on: the first, unless it was told another."""
    torch = sys.modules.get("torch")
    started = torch is not None and torch.cuda.is_initialized()
    return int(torch.cuda.current_device()) if torch is not None and started else 0


def ask(question: Any, *about: Any) -> Any:
    """Return what the driver answers; None to what this GPU can't be asked."""
    import pynvml

    try:
        return question(*about)
    except pynvml.NVMLError:
        return None


def _visible(pynvml: Any) -> list[Any]:
    """Follow CUDA's rule: what comes after a name that is no GPU isn't visible."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = pynvml.nvmlDeviceGetCount()
    if named is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    found = []
    for name in (one.strip() for one in named.split(",")):
        if name.startswith(("GPU-", "MIG-")):
            found.append(pynvml.nvmlDeviceGetHandleByUUID(name))
        elif name.isdecimal() and int(name) < count:
            found.append(pynvml.nvmlDeviceGetHandleByIndex(int(name)))
        else:
            break
    return found


def _none(why: str) -> LabError:
    return LabError(
        f"There is no NVIDIA GPU to use: {why}.",
        "Install its driver, see CUDA_VISIBLE_DEVICES, or use the processor.",
    )
