"""The most that tensors hold on a processor in a step, which has no allocator that counts it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import transformers
from torch.profiler import ProfilerActivity, profile


class TensorPeak(transformers.TrainerCallback):
    """Watches one step, counted from 0: `bytes` is the most that its tensors held, with `held`.

    That is what `torch.cuda.max_memory_allocated` says of a GPU. The process holds more: its heap
    keeps holes between tensors. The watched step takes longer.
    """

    def __init__(self, step: int, held: Callable[[], Iterable[torch.Tensor]]) -> None:
        self.step, self._held = step, held
        self._profile: Any = None
        self._before = 0
        self._open = ExitStack()
        self.bytes: int | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Begin to watch, if it is the step."""
        if state.global_step == self.step:
            self._before = _storages(self._held())
            self._open.enter_context(_standard_error_unseen())
            self._profile = self._open.enter_context(
                profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            )

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Note the most, still in the step, so that its seconds are longer and no other's."""
        if self._profile is not None:
            self.close()
            self.bytes = self._before + _most(self._profile)
            self._profile = None

    def close(self) -> None:
        """Stop watching, also where the step didn't come to its end."""
        self._open.close()


def states_of(optimizer: torch.optim.Optimizer | None) -> Iterator[torch.Tensor]:
    """Yield the tensors that an optimizer keeps."""
    for state in optimizer.state.values() if optimizer else ():
        yield from (one for one in state.values() if isinstance(one, torch.Tensor))


@contextmanager
def _standard_error_unseen() -> Iterator[None]:
    """Hide what the profiler's C++ writes about itself, which a notebook would show."""
    seen, unseen = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(unseen, 2)
    try:
        yield
    finally:
        os.dup2(seen, 2)
        os.close(seen)
        os.close(unseen)


def _storages(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors, each storage once."""
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(found.values())


def _most(profiled: Any) -> int:
    """Most bytes that the allocator had given out and not got back, since the profile began."""
    events = profiled.profiler.kineto_results.events()
    held = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
