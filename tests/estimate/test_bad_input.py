"""Every argument of every door, given what it can't be: a sentence, never a traceback."""

from collections import namedtuple

import numpy as np
import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate.legality import check
from enterprise_lab.estimate.trainable import PROJECTIONS

BERT = catalog.model("bert-base-uncased").shape
RESNET = catalog.model("resnet50").shape
CHIP = "A100-SXM4-80GB"
JOB = {"sequence_length": 128, "global_batch": 32, "accelerator": CHIP}
IMAGES = {"global_batch": 32, "accelerator": CHIP}
NAN, INFINITY = float("nan"), float("inf")
ANYTHING = ["8", [1], {}, 1.5, -1, NAN, INFINITY, object()]
"""None of these is ever right, but for those taken out below."""
NUMBERS = [value for value in ANYTHING if value != 1.5]
SHARES = [*NUMBERS, 1.5]
WHOLE = [*ANYTHING, None, True, 10**30]
FLAGS = [*ANYTHING, None, 0, 1]
TEXTS = [*ANYTHING, None, 8]
KINDS = [*ANYTHING, 0]

Door = namedtuple("Door", "call given wrong")


def door(call, *positional, given, **wrong):
    return Door(lambda **arguments: call(*positional, **(given | arguments)), given, wrong)


LENGTHS = {"sequence_length": WHOLE, "causal": TEXTS, "predicted_share": [*SHARES, None]}
TRAINED = {"optimizer": TEXTS, "states": KINDS, "trainable": TEXTS, "precision": TEXTS}
DOORS = {
    "training": door(
        estimate.training, BERT, given=JOB, **LENGTHS | {"predicted_share": SHARES}, **TRAINED,
        global_batch=WHOLE, accelerator=TEXTS, plan=KINDS, node=KINDS, checkpoints=KINDS,
        tokens=[*NUMBERS, 0], samples_per_second=[*NUMBERS, 0], fitted=KINDS, image_size=WHOLE,
    ),
    "training on images": door(
        estimate.training, RESNET, given=IMAGES, image_size=WHOLE, sequence_length=[8, "8", None],
        trainable=[*TEXTS, estimate.LowRank()], global_batch=WHOLE,
    ),
    "inference": door(
        estimate.inference, BERT, given={"accelerator": CHIP, "input_length": 128},
        accelerator=TEXTS, precision=TEXTS, batch=WHOLE, input_length=WHOLE, output_length=WHOLE,
        image_size=WHOLE, tensor=WHOLE, weight_bits=[*ANYTHING, True, 2], fitted=KINDS,
        cache_bits=[*ANYTHING, 5],
    ),
    "plans": door(
        estimate.plans, BERT, given=JOB | {"devices": 2}, **LENGTHS | {"predicted_share": SHARES},
        devices=[value for value in WHOLE if value != [1]], global_batch=WHOLE, accelerator=TEXTS,
        precision=TEXTS, tokens=[*NUMBERS, 0], image_size=WHOLE, optimizer=TEXTS, states=KINDS,
        flash_attention=FLAGS, context_parallel=FLAGS, node=KINDS,
        memory_share=[*SHARES, None, 0], usd_per_device_hour=[*NUMBERS, 0],
    ),
    "forward_flops": door(
        estimate.forward_flops, BERT, given={"sequence_length": 8}, **LENGTHS,
        target_length=[value for value in WHOLE if value is not None],
    ),
    "training_flops": door(
        estimate.training_flops, BERT, given={"sequence_length": 8}, **LENGTHS,
        recompute=TEXTS, trainable=[*TEXTS, estimate.LowRank(rank=5000)],
    ),
    "layer_flops": door(
        estimate.layer_flops, BERT, given={"sequence_length": 8}, sequence_length=WHOLE,
        causal=TEXTS, trainable=TEXTS,
    ),
    "inference_flops": door(
        estimate.inference_flops, BERT, given={"input_length": 8}, input_length=WHOLE,
        output_length=WHOLE, batch=WHOLE, causal=TEXTS,
    ),
    "rule_of_thumb_flops": door(
        estimate.rule_of_thumb_flops, given={"parameters": 1, "tokens": 1},
        parameters=[*NUMBERS, None, 0], tokens=[*NUMBERS, None, 0],
    ),
    "padded_flops": door(
        estimate.padded_flops, BERT, given={"lengths": [8]}, packed=FLAGS, causal=TEXTS,
        lengths=[value for value in WHOLE if value != [1]] + [["8"], [8, None], "8"],
        sequence_length=[value for value in WHOLE if value is not None],
    ),
    "training_memory": door(
        estimate.training_memory, BERT, given={"sequence_length": 8}, **TRAINED,
        sequence_length=WHOLE, plan=KINDS, micro_batch=WHOLE, recompute=TEXTS,
        global_batch=[value for value in WHOLE if value is not None], predicted_share=SHARES,
        dropout=[value for value in FLAGS if value is not None], implementation=KINDS,
        capacity_factor=[*NUMBERS, None, 0], fragmentation=[*SHARES, None],
        framework_bytes=[*NUMBERS, None],
    ),
    "largest_micro_batch": door(
        estimate.largest_micro_batch, BERT,
        given={"sequence_length": 8, "memory_bytes": 80e9, "at_most": 8}, **TRAINED,
        memory_bytes=[*NUMBERS, None, 0], at_most=WHOLE, plan=KINDS, recompute=TEXTS,
        predicted_share=[*SHARES, None], fragmentation=[*SHARES, None],
    ),
    "legality.check": door(
        check, BERT, given={"plan": estimate.Plan(), "global_batch": 8}, global_batch=WHOLE,
        sequence_length=WHOLE, plan=[*KINDS, None],
        devices=[value for value in WHOLE if value is not None],
    ),
    "Plan": door(
        estimate.Plan, given={},
        **dict.fromkeys(("data", "tensor", "pipeline", "context", "micro_batch", "zero"), WHOLE),
        recompute=TEXTS, offload=TEXTS, sequence_parallel=FLAGS, flash_attention=FLAGS,
    ),
    "LowRank": door(
        estimate.LowRank, given={}, rank=WHOLE, base_bits=[*WHOLE, 3],
        targets=[*ANYTHING, None, (), [], "query", ("query", {})],
    ),
    "StateBytes": door(
        estimate.StateBytes, given={},
        **{name: [*NUMBERS, None] for name in ("weight", "gradient", "optimizer")},
    ),
    "StateBytes.of": door(
        estimate.StateBytes.of, given={"precision": "fp16"}, precision=TEXTS, optimizer=TEXTS,
        masters=TEXTS, gradient_bits=[*ANYTHING, True, 8],
    ),
    "Checkpoints": door(
        estimate.Checkpoints, given={"every_steps": 1, "bytes_per_second": 1},
        every_steps=WHOLE, bytes_per_second=[*NUMBERS, None, 0],
    ),
    "Estimate": door(
        estimate.Estimate, given={"value": 1.0, "unit": "s", "source": "x"},
        value=["8", [1], {}, NAN, INFINITY, None, True], unit=[None, 8, [1]], source=[None, 8, {}],
        low=["8", [1], NAN], high=["8", {}, INFINITY],
    ),
}  # fmt: skip
CASES = [
    pytest.param(door.call, name, wrong, id=f"{title}, {name}={wrong!r}"[:60])
    for title, door in DOORS.items()
    for name, values in door.wrong.items()
    for wrong in values
]
SHAPED = [estimate.forward_flops, estimate.training_flops, estimate.layer_flops,
          estimate.inference_flops, estimate.training_memory]  # fmt: skip


@pytest.mark.parametrize("title", DOORS)
def test_what_is_given_else_is_right(title):
    assert DOORS[title].call() or title == "legality.check"


@pytest.mark.parametrize(("call", "name", "wrong"), CASES)
def test_what_an_argument_cannot_be_is_refused(call, name, wrong):
    with pytest.raises(LabError) as refused:
        call(**{name: wrong})
    assert refused.value.problem
    assert refused.value.remedy


@pytest.mark.parametrize("wrong", [None, *ANYTHING])
def test_what_is_no_shape_is_refused(wrong):
    for call in SHAPED:
        with pytest.raises(InvalidValueError, match="shape"):
            call(wrong)
    for call, more in (
        (estimate.training, JOB),
        (estimate.plans, JOB | {"devices": 2}),
        (estimate.inference, {"accelerator": CHIP, "input_length": 8}),
        (estimate.padded_flops, {"lengths": [8]}),
        (check, {"plan": estimate.Plan(), "global_batch": 8}),
        (estimate.largest_micro_batch, {"memory_bytes": 1e9, "at_most": 8}),
    ):
        with pytest.raises(InvalidValueError, match="shape"):
            call(wrong, **more)


@pytest.mark.parametrize("wrong", ["a", 0, None, 2.5])
def test_plans_are_listed_by_a_whole_number(wrong):
    found = estimate.plans(BERT, devices=2, **JOB)
    with pytest.raises(InvalidValueError, match="count"):
        found.ranked(wrong)


@pytest.mark.parametrize("kind", [np.int64, np.int16])
def test_numbers_of_numpy_say_the_same(kind):
    numbers = {"sequence_length": 128, "global_batch": 32}
    alike = {name: kind(value) for name, value in numbers.items()}
    for call, shape, more in (
        (estimate.training, BERT, {"accelerator": CHIP, "tokens": 10**6}),
        (estimate.training_memory, BERT, {}),
    ):
        assert call(shape, **numbers, **more) == call(shape, **alike, **more)
    assert estimate.training_flops(BERT, sequence_length=kind(128)) == estimate.training_flops(
        BERT, sequence_length=128
    )
    served = {"accelerator": CHIP, "precision": "fp16"}
    assert estimate.inference(BERT, batch=kind(8), input_length=kind(128), **served) == (
        estimate.inference(BERT, batch=8, input_length=128, **served)
    )
    some = estimate.plans(BERT, devices=[kind(2), kind(4)], **JOB | alike)
    assert some.fastest == estimate.plans(BERT, devices=[2, 4], **JOB).fastest
    assert estimate.Plan(data=kind(8)) == estimate.Plan(data=8)
    assert type(estimate.Plan(data=kind(8)).devices) is int


@pytest.mark.parametrize(
    ("chip", "precision", "offered"),
    [("T4", "bf16", "fp32, fp16."), ("T4", "int8", "fp32, fp16."), ("T4", None, "fp32, fp16.")],
)
def test_precisions_offered_are_those_the_chip_trains_in(chip, precision, offered):
    job = JOB | {"accelerator": chip, "precision": precision}
    for call, more in ((estimate.training, {}), (estimate.plans, {"devices": 1})):
        with pytest.raises(InvalidValueError) as refused:
            call(BERT, **job, **more)
        assert refused.value.remedy == f"Choose one of: {offered}"


def test_chips_that_train_nothing_say_so():
    chip = next(row for row in catalog.accelerators("inferentia"))
    for call, more in ((estimate.training, {}), (estimate.plans, {"devices": 1})):
        with pytest.raises(InvalidValueError, match="can't train"):
            call(BERT, **JOB | {"accelerator": chip}, **more)


@pytest.mark.parametrize("share", [0, -0.1])
def test_no_predictions_are_a_share_and_fewer_are_none(share):
    def flops():
        return estimate.training_flops(BERT, sequence_length=8, predicted_share=share)

    if share == 0:
        assert flops()["head"] == 0
    else:
        with pytest.raises(InvalidValueError, match="predicted_share must be a finite"):
            flops()


def test_a_low_rank_is_no_more_than_the_width():
    low, wide = (estimate.LowRank(rank=rank) for rank in (BERT.hidden, BERT.hidden + 1))
    assert estimate.training(BERT, **JOB, trainable=low)
    with pytest.raises(InvalidValueError, match="at most 768"):
        estimate.training(BERT, **JOB, trainable=wide)


def test_projections_come_in_a_tuple_or_a_list():
    assert estimate.LowRank(targets=list(PROJECTIONS)) == estimate.LowRank(targets=PROJECTIONS)
    with pytest.raises(InvalidValueError, match=r"\('query', 'value'\)"):
        estimate.LowRank(targets="query")
