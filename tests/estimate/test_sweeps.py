"""The doors over the whole catalogue: figures that can be, and what must follow from what."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Plan
from enterprise_lab.shapes import ConvolutionalShape

MODELS = [model.shape for model in catalog.models()]
TRANSFORMERS = [shape for shape in MODELS if not isinstance(shape, ConvolutionalShape)]
NETWORKS = [shape for shape in MODELS if isinstance(shape, ConvolutionalShape)]
WRITERS = [shape for shape in TRANSFORMERS if shape.kind != "encoder"]
CHIPS = catalog.accelerators()
TRAINERS = [chip for chip in CHIPS if not chip.name.startswith("Inferentia")]
ROUNDING = 1 + 1e-9
TRANSFORMER_PLANS = [
    Plan(micro_batch=8),
    Plan(data=8, micro_batch=2, zero=1, flash_attention=True),
    Plan(data=16, zero=3, flash_attention=True, recompute="full"),
    Plan(data=2, tensor=4, pipeline=2, sequence_parallel=True, recompute="selective"),
    Plan(data=2, tensor=2, pipeline=2, interleave=2, zero=1),
    Plan(data=2, context=4, zero=3, flash_attention=True),
    Plan(data=2, zero=3, offload="parameters"),
]
NETWORK_PLANS = [Plan(micro_batch=32), Plan(data=8, micro_batch=4), Plan(data=32, zero=1)]
FASTER = [  # in every respect, of one maker and kind
    ("A100-SXM4-40GB", "A100-SXM4-80GB"),
    ("A100-PCIe-80GB", "A100-SXM4-80GB"),
    ("H100-SXM5-80GB", "H200-SXM-141GB"),
    ("V100-PCIe-16GB", "V100-SXM2-16GB"),
]


def is_possible(figure):
    assert 0 < figure.low < figure.value < figure.high < math.inf
    if figure.terms:
        assert sum(figure.terms.values()) == pytest.approx(figure.value)
        assert all(0 <= term < math.inf for term in figure.terms.values())


def train(shape, chip, **changes):
    length = {} if isinstance(shape, ConvolutionalShape) else {"sequence_length": 128}
    arguments = {"global_batch": 32, "plan": Plan(), "precision": "bf16"} | length
    return estimate.training(shape, accelerator=chip, **(arguments | changes))


def memory(found):
    return found.memory_bytes_per_device.value


def seconds(found):
    return found.step_seconds.value


@pytest.mark.parametrize("chip", TRAINERS, ids=lambda chip: chip.name)
def test_training_on_every_chip_stays_possible(chip):
    tried = 0
    for number, shape in enumerate(MODELS):
        plans = NETWORK_PLANS if isinstance(shape, ConvolutionalShape) else TRANSFORMER_PLANS
        precisions = [precision for precision in chip.peak_tflops if precision != "int8"]
        plan, precision = plans[number % len(plans)], precisions[number % len(precisions)]
        causal = "half" if getattr(shape, "kind", "encoder") != "encoder" else "full"
        try:
            e = train(shape, chip, plan=plan, precision=precision, causal=causal, tokens=1e9)
        except LabError:
            continue  # heads that can't be split so
        tried += 1
        for figure in (e.step_seconds, e.training_seconds, e.tokens_per_second,
                       e.memory_bytes_per_device, e.mfu):  # fmt: skip
            is_possible(figure)
        assert e.parameters == shape.parameters
        assert e.hardware_flops_per_step / e.peak_flops < e.step_seconds.value
        assert e.mfu.high <= 1
    assert tried > len(MODELS) / 2


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_serving_on_every_chip_stays_possible(chip):
    for number, shape in enumerate(MODELS):
        precision = list(chip.peak_tflops)[number % len(chip.peak_tflops)]
        batch = (1, 8, 256)[number % 3]
        lengths, tensor = {}, 1
        if shape in TRANSFORMERS:
            lengths = {"input_length": 128, "output_length": 16 if shape in WRITERS else 0}
            tensor = 2 if shape.heads % 2 == 0 and number % 2 else 1
        e = estimate.inference(
            shape, accelerator=chip, precision=precision, batch=batch, tensor=tensor, **lengths
        )
        for figure in (e.prefill_seconds, e.queries_per_second, e.memory_bytes_per_device):
            is_possible(figure)
        assert e.parameters == shape.parameters
        half = "half" if getattr(shape, "kind", "") == "decoder" else "full"
        if shape in TRANSFORMERS:
            flops = estimate.inference_flops(shape, input_length=128, batch=batch, causal=half)
        else:
            flops = estimate.inference_flops(shape, batch=batch)
        assert e.prefill_seconds.value > sum(flops.prefill.values()) / (
            tensor * chip.peak_flops(precision)
        )
        if shape in WRITERS:
            is_possible(e.decode_seconds_per_token)
            read = read_bytes(shape, e.weight_bits) / tensor
            assert e.decode_seconds_per_token.value > read / chip.memory_bandwidth_bytes_per_second


def read_bytes(shape, bits):
    """Bytes of weights that one token reads, at least: of the layers that write."""
    q, kv, d = shape.query_hidden, shape.kv_hidden, shape.hidden
    attention = 2 * d * q + 2 * d * kv + (2 * d * q if shape.decoder_layers else 0)
    mlp = shape.mlp_matrices * shape.mlps_per_token * d * shape.ffn
    return (shape.decoder_layers or shape.layers) * (attention + mlp) * bits / 8


@st.composite
def jobs(draw, **fixed):
    """A training that can be, as the arguments of `train`."""
    tensor = draw(st.sampled_from([1, 1, 2, 4]))
    plan = {
        "data": draw(st.sampled_from([1, 2, 8])),
        "tensor": tensor,
        "pipeline": draw(st.sampled_from([1, 1, 2])),
        "zero": draw(st.integers(0, 3)),
        "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "micro_batch": draw(st.sampled_from([1, 2, 4])),
        "flash_attention": draw(st.booleans()),
        "sequence_parallel": tensor > 1 and draw(st.booleans()),
    }
    chip = draw(st.sampled_from([chip for chip in TRAINERS if "bf16" in chip.peak_tflops]))
    job = {
        "shape": draw(st.sampled_from(TRANSFORMERS)),
        "chip": chip,
        "plan": Plan(**(plan | fixed)),
        "sequence_length": draw(st.sampled_from([32, 64, 256])),
        "global_batch": 128,
    }
    assume(tried(job) is not None)
    return job


def tried(job, **changes):
    """Return the estimate of a changed job, or None where it can't be."""
    plan = replace(job["plan"], **{name: changes.pop(name) for name in [*changes]
                                   if name in vars(job["plan"])})  # fmt: skip
    try:
        return train(**(job | {"plan": plan} | changes))
    except LabError:
        return None


@settings(max_examples=50, deadline=None)
@given(job=jobs())
def test_more_to_do_takes_no_less(job):
    e = train(**job)
    longer, wider = (
        tried(job, sequence_length=2 * job["sequence_length"]),
        tried(job, micro_batch=2 * job["plan"].micro_batch),
    )
    assert longer is None or (seconds(longer) > seconds(e) and memory(longer) > memory(e))
    assert memory(wider) * ROUNDING >= memory(e)
    assert job["plan"].pipeline > 1 or seconds(wider) <= seconds(e) * ROUNDING
    twice = tried(job, global_batch=256)
    assert seconds(twice) > seconds(e)
    assert memory(twice) * ROUNDING >= memory(e)


@settings(max_examples=50, deadline=None)
@given(job=jobs())
def test_what_trades_time_for_memory_does(job):
    found = [tried(job, recompute=how) for how in ("none", "selective", "full")]
    for less, more in pairwise(found):
        assert memory(more) <= memory(less) * ROUNDING
        assert seconds(more) * ROUNDING >= seconds(less)
        assert more.model_flops_per_step == less.model_flops_per_step
    e = train(**job)
    offloaded = tried(job, offload="optimizer")
    assert memory(offloaded) <= memory(e) * ROUNDING
    assert seconds(offloaded) * ROUNDING >= seconds(e)


@settings(max_examples=50, deadline=None)
@given(job=jobs(), data=st.sampled_from([1, 2, 4, 16]))
def test_sharing_states_with_more_devices_needs_no_more_memory(job, data):
    zero = max(1, job["plan"].zero)
    fewer, more = (tried(job, zero=zero, data=number) for number in (data, 2 * data))
    assume(fewer is not None and more is not None)
    # from one device to two gradients begin to be sent, in buckets, and layers to be gathered
    assume(data > 1)
    assert memory(more) <= memory(fewer) * ROUNDING


@settings(max_examples=50, deadline=None)
@given(job=jobs(tensor=1, sequence_parallel=False), tensor=st.sampled_from([2, 4, 8]))
def test_tensor_parallelism_divides_weights(job, tensor):
    split = tried(job, tensor=tensor)
    assume(split is not None)
    whole = tried(job, zero=job["plan"].zero)
    for term in ("weights", "optimizer states"):
        if job["plan"].pipeline == 1:
            assert split.memory_terms[term] * tensor == pytest.approx(whole.memory_terms[term])
        assert split.memory_terms[term] < whole.memory_terms[term]


@settings(max_examples=50, deadline=None)
@given(job=jobs(), rank=st.sampled_from([1, 8, 16]))
def test_training_less_takes_no_more(job, rank):
    whole = train(**job)
    few = estimate.LowRank(rank=rank)
    adapted, head = (train(**job, trainable=trainable) for trainable in (few, "head"))
    for part in (adapted, head):
        assert memory(part) <= memory(whole) * ROUNDING
        assert seconds(part) <= seconds(whole) * ROUNDING
        assert part.model_flops_per_step < whole.model_flops_per_step
    quantised = train(**job, trainable=replace(few, base_bits=4))
    assert memory(quantised) < memory(adapted)
    assert seconds(quantised) > seconds(adapted)  # each pass makes 16 bits of the 4


@settings(max_examples=50, deadline=None)
@given(job=jobs(), tokens=st.floats(1e6, 1e13))
def test_counting_changes_no_time_and_tokens_are_proportional(job, tokens):
    once, twice = (train(**job, tokens=number) for number in (tokens, 2 * tokens))
    assert twice.training_seconds.value == pytest.approx(2 * once.training_seconds.value)
    if job["shape"].kind != "encoder":
        half = train(**job, causal="half")
        assert half.model_flops_per_step < once.model_flops_per_step
        assert half.step_terms == once.step_terms


@settings(max_examples=50, deadline=None)
@given(job=jobs(), pair=st.sampled_from(FASTER), tokens=st.sampled_from([0, 1, 64]))
def test_a_faster_chip_is_never_slower(job, pair, tokens):
    shape = job["shape"]
    precision = {"precision": "fp16"}
    slow, fast = (train(**(job | {"chip": chip} | precision)) for chip in pair)
    assert seconds(fast) <= seconds(slow) * ROUNDING
    slow, fast = (
        estimate.inference(shape, accelerator=chip, **precision, input_length=64,
                           output_length=tokens if shape in WRITERS else 0)
        for chip in pair
    )  # fmt: skip
    assert fast.batch_seconds.value <= slow.batch_seconds.value * ROUNDING


@settings(max_examples=50, deadline=None)
@given(
    shape=st.sampled_from(WRITERS),
    chip=st.sampled_from([chip for chip in CHIPS if "fp16" in chip.peak_tflops]),
    batch=st.sampled_from([1, 4, 64]),
)
def test_serving_smaller_numbers_or_fewer_requests_takes_no_more(shape, chip, batch):
    def served(**changes):
        arguments = {"batch": batch, "input_length": 64, "output_length": 64} | changes
        return estimate.inference(shape, accelerator=chip, precision="fp16", **arguments)

    for which in ("weight_bits", "cache_bits"):
        for wide, narrow in pairwise(served(**{which: bits}) for bits in (16, 8, 4)):
            assert narrow.decode_seconds_per_token.value <= wide.decode_seconds_per_token.value
            assert memory(narrow) < memory(wide)
    alone, double = served(), served(batch=2 * batch)
    assert double.batch_seconds.value >= alone.batch_seconds.value
    assert double.queries_per_second.value * ROUNDING >= alone.queries_per_second.value
    assert memory(double) > memory(alone)


def test_tokens_of_an_encoder_decoder_come_from_its_decoder():
    t5 = catalog.model("t5-11b").shape

    def served(shape):
        return estimate.inference(
            shape, accelerator="A100-SXM4-80GB", precision="bf16", input_length=128,
            output_length=128,
        )  # fmt: skip

    e, encodes_more = served(t5), served(replace(t5, layers=2 * t5.layers))
    assert encodes_more.decode_terms == e.decode_terms
    assert encodes_more.prefill_seconds.value > 1.3 * e.prefill_seconds.value
    writes_more = served(replace(t5, decoder_layers=2 * t5.decoder_layers))
    ratio = writes_more.decode_seconds_per_token.value / e.decode_seconds_per_token.value
    assert 1.8 < ratio < 2


SEARCHES = [
    ("gpt2", "A100-SXM4-80GB", 64, 1024),
    ("llama-7b", "H100-SXM5-80GB", 64, 2048),
    ("bert-large-uncased", "V100-SXM2-16GB", 256, 512),
    ("resnet50", "T4", 256, 0),
]


@pytest.mark.parametrize(("name", "chip", "batch", "length"), SEARCHES)
def test_no_plan_by_hand_beats_the_search_and_more_devices_help(name, chip, batch, length):
    shape = catalog.model(name).shape
    arguments = {"global_batch": batch, "sequence_length": length, "accelerator": chip,
                 "precision": "fp16"}  # fmt: skip
    best = {}
    for devices in (8, 16, 32):
        found = estimate.plans(shape, devices=devices, **arguments)
        fastest = found.fastest.training
        assert fastest == estimate.training(shape, plan=fastest.plan, **arguments)
        at = int(found.seconds.argmin())
        assert found.seconds[at] == pytest.approx(seconds(fastest))
        assert found.needed_bytes[at] == pytest.approx(memory(fastest))
        best[devices] = seconds(fastest)
        for plan in by_hand(devices, shape):
            try:
                e = estimate.training(shape, plan=plan, **arguments)
            except LabError:
                continue
            if memory(e) <= 0.9 * e.accelerator.memory_bytes:
                assert best[devices] <= seconds(e) * ROUNDING, plan
    assert best[32] < best[16] < best[8]


def by_hand(devices, shape):
    convolutional = isinstance(shape, ConvolutionalShape)
    for tensor, pipeline in ((1, 1), (2, 1), (8, 1), (1, 2), (2, 2)):
        for zero in range(4):
            for micro_batch in (1, 2, 8):
                for recompute in ("none", "full"):
                    yield Plan(
                        data=devices // tensor // pipeline, tensor=tensor, pipeline=pipeline,
                        zero=zero, micro_batch=micro_batch, recompute=recompute,
                        flash_attention=not convolutional,
                    )  # fmt: skip


@pytest.mark.parametrize(("name", "length"), [("gpt2", 256), ("resnet50", 0)])
def test_a_processor_is_searched_with_the_memory_it_needs(name, length):
    chip = catalog.accelerator("A100-SXM4-40GB").model_copy(update={"is_processor": True})
    found = estimate.plans(
        catalog.model(name).shape, devices=1, accelerator=chip, global_batch=32,
        sequence_length=length, precision="fp32",
    )  # fmt: skip
    at = int(found.seconds.argmin())
    assert found.needed_bytes[at] == pytest.approx(memory(found.fastest.training))


def bert_by_hand():
    s, d, f = 128, 768, 3072
    layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    flops = 12 * (2 * s * (4 * d * d + 2 * d * f) + 4 * s * s * d) + 2 * d * d
    return "bert-base-uncased", s, (30522 + 512 + 2) * d + 2 * d + 12 * layer + d * d + d, flops


def gpt2_by_hand():
    s, d, vocabulary = 512, 768, 50257
    layer = 12 * d * d + 13 * d
    flops = 12 * (2 * s * 12 * d * d + 4 * s * s * d) + 2 * s * d * vocabulary
    return "gpt2", s, (vocabulary + 1024) * d + 12 * layer + 2 * d, flops


def llama_by_hand():
    s, d, f, kv, vocabulary = 1024, 4096, 14336, 1024, 128256
    layer = 2 * d * d + 2 * d * kv + 3 * d * f
    flops = 32 * (2 * s * layer + 4 * s * s * d) + 2 * s * d * vocabulary
    return "llama-3-8b", s, 2 * vocabulary * d + 32 * (layer + 2 * d) + d, flops


@pytest.mark.parametrize("by_hand", [bert_by_hand(), gpt2_by_hand(), llama_by_hand()])
def test_counts_and_states_by_hand(by_hand):
    name, length, parameters, flops = by_hand
    e = estimate.training(
        catalog.model(name).shape, sequence_length=length, global_batch=64, precision="bf16",
        accelerator="A100-SXM4-80GB", plan=Plan(micro_batch=2),
    )  # fmt: skip
    assert e.parameters == parameters
    assert e.model_flops_per_step == 64 * 3 * flops
    states = sum(e.memory_terms[term] for term in ("weights", "gradients", "optimizer states"))
    assert states == 16 * parameters


def test_offloading_of_networks_is_refused_as_its_time_is_unknown():
    with pytest.raises(LabError, match="Offloading in convolutional networks"):
        train(catalog.model("resnet50").shape, "T4", plan=Plan(offload="optimizer"),
              precision="fp16")  # fmt: skip


@pytest.mark.parametrize("length", [None, "128", 128.5, 0, -1])
@pytest.mark.parametrize("plan", [Plan(), Plan(data=2, context=2, flash_attention=True)])
def test_lengths_that_cannot_be_are_refused_before_plans_are_looked_at(length, plan):
    with pytest.raises(LabError, match="sequence_length must be a whole number"):
        train(catalog.model("gpt2").shape, "T4", plan=plan, precision="fp16",
              sequence_length=length)  # fmt: skip


@pytest.mark.parametrize("zero", [0, 1, 3])
def test_devices_that_share_sequences_share_states_and_gradients_too(zero):
    def terms(**degrees):
        plan = Plan(zero=zero, flash_attention=True, **degrees)
        return train(catalog.model("llama-7b").shape, "A100-SXM4-80GB", plan=plan,
                     sequence_length=2048).step_terms  # fmt: skip

    by_data, by_context = terms(data=8), terms(context=8)
    assert by_context["optimizer"] == pytest.approx(by_data["optimizer"])
    sent = "sharded parameters" if zero == 3 else "gradient reduction"
    assert by_context[sent] > 0.9 * by_data[sent] > 0
