"""FLOPs of serving against PyTorch's counter, token by token."""

import pytest
import real_modules as real
from hypothesis import given
from hypothesis import strategies as st
from transformers.modeling_outputs import BaseModelOutput

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.flops import forward_flops
from enterprise_lab.estimate.inference_flops import inference_flops
from enterprise_lab.shapes import shape_from_hf_config


@pytest.mark.parametrize("build", [real.llama, real.mistral, real.gpt2, real.mixtral])
def test_prefill_and_each_decode_step_match_the_flop_counter(build):
    module = build()
    shape = shape_from_hf_config(module.config.to_dict())
    mine = inference_flops(shape, input_length=50, output_length=4, batch=2)
    cache = []

    def step(length):
        kept = {"past_key_values": cache[-1]} if cache else {}
        output = module(real.tokens(2, length), use_cache=True, logits_to_keep=1, **kept)
        cache.append(output.past_key_values)
        return output

    theirs = [real.counted(lambda length=length: step(length)) for length in (50, 1, 1, 1)]
    seen = [sum(terms.values()) for terms in (mine.prefill, *mine.decode)]
    assert seen == pytest.approx(theirs, rel=0.001)
    assert mine.total == sum(seen)


def test_an_encoder_decoder_matches_the_flop_counter():
    module = real.t5()
    shape = shape_from_hf_config(module.config.to_dict())
    mine = inference_flops(shape, input_length=60, output_length=3)
    memory, cache = [], []

    def first():
        memory.append(module.encoder(real.tokens(1, 60)).last_hidden_state)
        return step()

    def step():
        kept = {"past_key_values": cache[-1]} if cache else {}
        output = module(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory[0]),
            decoder_input_ids=real.tokens(1, 1), use_cache=True, **kept,
        )  # fmt: skip
        cache.append(output.past_key_values)
        return output

    theirs = [real.counted(run) for run in (first, step, step)]
    seen = [sum(terms.values()) for terms in (mine.prefill, *mine.decode)]
    assert seen == pytest.approx(theirs, rel=0.001)


def test_an_encoder_runs_without_its_head():
    shape = catalog.model("bert-base-uncased").shape
    module = real.bert().bert
    mine = inference_flops(shape, input_length=128, batch=3)
    theirs = real.counted(lambda: module(real.tokens(3, 128)))
    assert sum(mine.prefill.values()) == pytest.approx(theirs, rel=0.001)
    assert mine.decode == ()


def test_images_are_classified_one_by_one():
    shape = catalog.model("resnet50").shape
    one = sum(forward_flops(shape, image_size=160).values())
    assert inference_flops(shape, image_size=160, batch=7).total == 7 * one


@given(
    name=st.sampled_from(["llama-3-8b", "mixtral-8x7b", "gpt-j-6b"]),
    length=st.integers(1, 500),
    output=st.integers(1, 20),
)
def test_token_after_token_takes_the_work_of_all_at_once_but_for_hidden_scores(
    name, length, output
):
    shape = catalog.model(name).shape
    split = inference_flops(shape, input_length=length, output_length=output)
    whole = forward_flops(shape, sequence_length=length + output - 1)
    for term in ("attention projections", "mlp"):
        assert split.prefill[term] + sum(step[term] for step in split.decode) == whole[term]
    scores = split.prefill["attention scores"] + sum(
        step["attention scores"] for step in split.decode
    )
    per_score = 4 * shape.layers * shape.query_hidden
    assert scores == per_score * (
        length**2 + sum(length + later for later in range(1, output))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("bert-base-uncased", {"input_length": 128, "output_length": 1}, "output_length"),
        ("resnet50", {"output_length": 1}, "output_length"),
        ("resnet50", {"input_length": 1}, "sequence_length"),
        ("gpt2", {"input_length": 0}, "input_length"),
        ("gpt2", {"input_length": 1000, "output_length": 26}, "1,024"),
        ("gpt2", {"input_length": 10, "output_length": -1}, "output_length"),
        ("gpt2", {"input_length": 10, "batch": 0}, "batch"),
        ("gpt2", {"input_length": 10, "causal": "quarter"}, "causal"),
    ],
)
def test_what_cannot_be_is_refused(name, arguments, named):
    with pytest.raises(LabError, match=named):
        inference_flops(catalog.model(name).shape, **arguments)
