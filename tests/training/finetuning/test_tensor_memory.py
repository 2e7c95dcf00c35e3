"""The most that tensors hold in a step, against what is known of it."""

import os

import torch

from enterprise_lab.training.finetuning.tensor_memory import TensorPeak, states_of

NUMBERS = 250_000
BYTES = 4 * NUMBERS


class State:
    global_step = 3


def watched(work, held=()):
    peak = TensorPeak(3, lambda: held)
    peak.on_step_begin(None, State, None)
    try:
        work()
        peak.on_optimizer_step(None, State, None)
    finally:
        peak.close()
    return peak.bytes


def test_what_was_held_before_counts_once_and_what_is_freed_no_longer():
    weights = torch.zeros(NUMBERS)

    def work():
        first = torch.ones(NUMBERS)
        del first
        second, third = torch.ones(NUMBERS), torch.ones(NUMBERS)
        del second, third

    assert watched(work, [weights, weights.view(2, -1)]) == 3 * BYTES


def test_only_its_step_is_watched():
    peak = TensorPeak(4, list)
    peak.on_step_begin(None, State, None)
    peak.on_optimizer_step(None, State, None)
    assert peak.bytes is None


def test_standard_error_is_seen_again_also_after_a_failure(capfd):
    peak = TensorPeak(3, list)
    peak.on_step_begin(None, State, None)
    os.write(2, b"unseen")
    peak.close()
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
    assert peak.bytes is None


def test_states_are_those_of_adam():
    weight = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.AdamW([weight])
    assert list(states_of(None)) == list(states_of(optimizer)) == []
    weight.sum().backward()
    optimizer.step()
    assert sum(one.numel() for one in states_of(optimizer)) == 2 * 10 + 1
