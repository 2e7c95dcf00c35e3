"""The seconds of steps: a processor's by the clock, a GPU's by what it notes down itself."""

import time

import pytest
import torch

from enterprise_lab.training.finetuning.trainer import StepClock


class Gpu:
    """Works off, one after another, what it was given; noted when it comes to an event."""

    def __init__(self):
        self.queue, self.at, self.waited = [], 0.0, 0

    def work(self, seconds):
        self.queue.append(seconds)

    def event(self, *, enable_timing):
        assert enable_timing
        return Event(self)

    def wait_for(self, event):
        self.waited += 1
        while event.at is None:
            one = self.queue.pop(0)
            if isinstance(one, Event):
                one.at = self.at
            else:
                self.at += one


class Event:
    def __init__(self, gpu):
        self.gpu, self.at = gpu, None

    def record(self):
        self.gpu.queue.append(self)

    def synchronize(self):
        self.gpu.wait_for(self)

    def elapsed_time(self, end):
        return 1000 * (end.at - self.at)


def test_a_gpus_steps_take_its_seconds_though_it_is_only_waited_for_at_the_end(monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    clock = StepClock("cuda")
    for seconds in (3.0, 1.0, 2.0):
        gpu.work(seconds)
        clock.end()
    assert gpu.waited == 0
    gpu.work(10.0)  # an evaluation
    clock.begin()
    gpu.work(4.0)
    clock.end()
    assert clock.read() == pytest.approx([3.0, 1.0, 2.0, 4.0])
    assert gpu.waited == 1
    assert clock.read() == []
    gpu.work(5.0)
    clock.end()
    assert clock.read() == pytest.approx([5.0])


def test_a_processors_steps_follow_the_clock(monkeypatch):
    times = iter([1.0, 2.0, 4.0, 10.0, 11.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    clock = StepClock("cpu")
    clock.end()
    clock.end()
    clock.begin()
    clock.end()
    assert clock.read() == [1.0, 2.0, 1.5]
    assert clock.read() == []
