"""Lab 01's checks: right answers pass, each common mistake fails and is pointed at.

The wrong answers are written as a student would write them, from scratch.
"""

import math
import re

import pytest

from enterprise_lab.course import CheckError, lab01


def count(layers, hidden, ffn, vocabulary, positions, token_types):
    embeddings = (vocabulary + positions + token_types) * hidden + 2 * hidden
    attention = 4 * hidden * hidden + 4 * hidden
    mlp = 2 * hidden * ffn + ffn + hidden
    return embeddings + layers * (attention + mlp + 4 * hidden) + hidden * hidden + hidden


def flops(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    weights = layers * (4 * hidden**2 + 2 * hidden * ffn) + hidden * vocabulary
    forward = 2 * weights * sequence_length + 4 * layers * sequence_length**2 * hidden
    return 3 * forward * sequences


def states(parameters):
    return 16 * parameters / 2**30


def activations(layers, hidden, heads, sequence_length, micro_batch):
    sbh = sequence_length * micro_batch * hidden
    return layers * sbh * (34 + 5 * heads * sequence_length / hidden) / 2**30


def days(flops, devices, peak_tflops, efficiency):
    return flops / (devices * peak_tflops * 1e12 * efficiency) / 86_400


def bill(days, instances, usd_per_hour, devices_per_instance):  # noqa: ARG001
    return days * 24 * instances * usd_per_hour


def whole(phases, devices, peak_tflops, efficiency, usd_per_hour, **shape):
    total = sum(flops(sequence_length=s, sequences=n, **shape) for s, n in phases)
    return bill(days(total, devices, peak_tflops, efficiency), 1, usd_per_hour, devices)


def choose(options, deadline_hours, budget_usd):
    best = None
    for o in options:
        cost = o["hours"] * o["usd_per_hour"]
        if o["needed_gib"] > o["device_gib"] or o["hours"] > deadline_hours or cost > budget_usd:
            continue
        if best is None or cost < best["hours"] * best["usd_per_hour"]:
            best = o
    return best and best["name"]


RIGHT = [
    (lab01.parameters, count),
    (lab01.training_flops, flops),
    (lab01.state_memory, states),
    (lab01.activations, activations),
    (lab01.training_time, days),
    (lab01.bill, bill),
    (lab01.whole, whole),
    (lab01.choice, choose),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer, capsys):
    for _ in range(5):
        check(answer)
    assert "✓" in capsys.readouterr().out


# Wrong answers: (check, the mistake, words its message must have)


def three_attention_matrices(layers, hidden, ffn, vocabulary, positions, token_types):
    embeddings = (vocabulary + positions + token_types) * hidden + 2 * hidden
    attention = 3 * hidden * hidden + 4 * hidden
    mlp = 2 * hidden * ffn + ffn + hidden
    return embeddings + layers * (attention + mlp + 4 * hidden) + hidden * hidden + hidden


def no_biases(layers, hidden, ffn, vocabulary, positions, token_types):
    embeddings = (vocabulary + positions + token_types) * hidden + 2 * hidden
    return (
        embeddings
        + layers * (4 * hidden * hidden + 2 * hidden * ffn + 4 * hidden)
        + hidden * hidden
    )


def only_matrices(layers, hidden, ffn, vocabulary, positions, token_types):
    tables = (vocabulary + positions + token_types) * hidden
    return tables + layers * (4 * hidden**2 + 2 * hidden * ffn) + hidden**2


def one_norm_a_layer(layers, hidden, ffn, vocabulary, positions, token_types):
    return count(layers, hidden, ffn, vocabulary, positions, token_types) - layers * 2 * hidden


def no_pooler(layers, hidden, ffn, vocabulary, positions, token_types):
    pooler = hidden**2 + hidden
    return count(layers, hidden, ffn, vocabulary, positions, token_types) - pooler


def words_only(layers, hidden, ffn, vocabulary, positions, token_types):  # noqa: ARG001
    return count(layers, hidden, ffn, vocabulary, 0, 0)


def a_single_layer(layers, hidden, ffn, vocabulary, positions, token_types):  # noqa: ARG001
    return count(1, hidden, ffn, vocabulary, positions, token_types)


def embeddings_not_normalised(hidden, **rest):
    return count(hidden=hidden, **rest) - 2 * hidden


def a_pooler_in_each_layer(layers, hidden, **rest):
    return count(layers=layers, hidden=hidden, **rest) + (layers - 1) * (hidden**2 + hidden)


def multiply_add_as_one(**case):
    return flops(**case) / 2


def forward_only(**case):
    return flops(**case) / 3


def backward_as_dear_as_forward(**case):
    return flops(**case) * 2 / 3


def six_n_d(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    weights = layers * (4 * hidden**2 + 2 * hidden * ffn) + hidden * vocabulary
    return 6 * weights * sequence_length * sequences


def only_queries_times_keys(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    linear = six_n_d(layers, hidden, ffn, vocabulary, sequence_length, sequences)
    return linear + 6 * layers * sequence_length**2 * hidden * sequences


def scores_as_a_row(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    linear = six_n_d(layers, hidden, ffn, vocabulary, sequence_length, sequences)
    return linear + 12 * layers * sequence_length * hidden * sequences


def scores_without_backward(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    linear = six_n_d(layers, hidden, ffn, vocabulary, sequence_length, sequences)
    return linear + 4 * layers * sequence_length**2 * hidden * sequences


def no_head(layers, hidden, ffn, vocabulary, sequence_length, sequences):  # noqa: ARG001
    return flops(layers, hidden, ffn, 0, sequence_length, sequences)


def one_token_a_sequence(**case):
    return flops(**case) / case["sequence_length"]


def no_memory_check(options, deadline_hours, budget_usd):
    return choose([o | {"needed_gib": 0} for o in options], deadline_hours, budget_usd)


def cheapest_by_the_hour(options, deadline_hours, budget_usd):
    possible = [
        o
        for o in options
        if o["needed_gib"] <= o["device_gib"]
        and o["hours"] <= deadline_hours
        and o["hours"] * o["usd_per_hour"] <= budget_usd
    ]
    return min(possible, key=lambda o: o["usd_per_hour"])["name"] if possible else None


def cheapest_then_checked(options, deadline_hours, budget_usd):
    cheapest = min(options, key=lambda o: o["hours"] * o["usd_per_hour"])
    return choose([cheapest], deadline_hours, budget_usd)


def fastest(options, deadline_hours, budget_usd):
    possible = [
        o
        for o in options
        if o["needed_gib"] <= o["device_gib"]
        and o["hours"] <= deadline_hours
        and o["hours"] * o["usd_per_hour"] <= budget_usd
    ]
    return min(possible, key=lambda o: o["hours"])["name"] if possible else None


WRONG = [
    (lab01.parameters, three_attention_matrices, "four square matrices"),
    (lab01.parameters, no_biases, "bias"),
    (lab01.parameters, only_matrices, "biases and norms"),
    (lab01.parameters, one_norm_a_layer, "norms twice"),
    (lab01.parameters, no_pooler, "pooler"),
    (lab01.parameters, words_only, "three look-ups"),
    (lab01.parameters, a_single_layer, "How many layers"),
    (lab01.parameters, embeddings_not_normalised, "embeddings are normalised"),
    (lab01.parameters, a_pooler_in_each_layer, "once; it isn't part"),
    (lab01.training_flops, scores_without_backward, "gradients as well"),
    (lab01.training_flops, lambda **c: flops(**c | {"sequences": 1}), "one sequence"),
    (lab01.training_flops, multiply_add_as_one, "multiply-add"),
    (lab01.training_flops, forward_only, "backward"),
    (lab01.training_flops, backward_as_dear_as_forward, "two gradients"),
    (lab01.training_flops, six_n_d, "queries with keys"),
    (lab01.training_flops, only_queries_times_keys, "one of them"),
    (lab01.training_flops, scores_as_a_row, "not a row"),
    (lab01.training_flops, no_head, "vocabulary"),
    (lab01.training_flops, one_token_a_sequence, "tokens again"),
    (lab01.state_memory, lambda parameters: 16 * parameters / 1e9, "gibibyte"),
    (lab01.state_memory, lambda parameters: 16 * parameters, "asks for GiB"),
    (lab01.state_memory, lambda parameters: 2 * parameters / 2**30, "Weights alone"),
    (lab01.state_memory, lambda parameters: (2 + 2 + 4 + 4) * parameters / 2**30, "fp32 copy"),
    (lab01.state_memory, lambda parameters: (2 + 4 + 4 + 4) * parameters / 2**30, "backward"),
    (lab01.state_memory, lambda parameters: (2 + 2 + 4) * parameters / 2**30, "two moments"),
    (lab01.activations, lambda **c: activations(**c) * 2**30 / 1e9, "gibibyte"),
    (lab01.activations, lambda **c: activations(**c) * 2**30, "asks for GiB"),
    (lab01.activations, lambda **c: activations(**c) / c["layers"], "one layer"),
    (lab01.activations, lambda **c: activations(**c | {"micro_batch": 1}), "one sequence"),
    (lab01.activations, lambda **c: activations(**c | {"heads": 0}), "second term"),
    (lab01.activations, lambda **c: activations(**c | {"heads": 1}), "Every head"),
    (lab01.activations, lambda **c: 2 * activations(**c), "already counts bytes"),
    (lab01.training_time, lambda **c: days(**c | {"devices": 1}), "per device"),
    (lab01.training_time, lambda **c: days(**c | {"efficiency": 1}), "peak"),
    (lab01.training_time, lambda **c: days(**c) * c["efficiency"] ** 2, "longer"),
    (lab01.training_time, lambda **c: days(**c) * 86_400, "asks for days"),
    (lab01.training_time, lambda **c: days(**c) * 24, "hours"),
    (lab01.training_time, lambda **c: days(**c) * 1e12, "1e12"),
    (lab01.training_time, lambda **c: days(**c) * 1e3, "tera or giga"),
    (lab01.bill, lambda **c: bill(**c) * c["devices_per_instance"], "What is the price for"),
    (lab01.bill, lambda **c: bill(**c) / c["devices_per_instance"], "whole"),
    (lab01.bill, lambda **c: bill(**c) / 24, "per hour"),
    (lab01.bill, lambda **c: bill(**c | {"instances": 1}), "Every instance"),
    (lab01.whole, lambda **c: whole(**c | {"phases": c["phases"][:1]}), "more than one phase"),
    (
        lab01.whole,
        lambda **c: whole(**c | {"phases": [(c["phases"][0][0], sum(n for _, n in c["phases"]))]}),
        "first length",
    ),
    (lab01.whole, lambda **c: whole(**c) / len(c["phases"]), "add up"),
    (lab01.whole, lambda **c: whole(**c) * c["devices"], "share one instance's price"),
    (lab01.choice, cheapest_then_checked, "first sort out"),
    (lab01.choice, lambda **c: _strict(c, "deadline_hours"), "Just in time"),
    (lab01.choice, lambda **c: _strict(c, "budget_usd"), "Just in time"),
    (lab01.choice, lambda options, **c: choose(_more_needed(options), **c), "Just in time"),
    (lab01.training_flops, lambda **c: _attention_across_sequences(**c), "its own sequence"),
    (lab01.choice, no_memory_check, "out-of-memory"),
    (lab01.choice, cheapest_by_the_hour, "rented longer"),
    (lab01.choice, fastest, "costs least"),
    (lab01.choice, lambda **c: choose(**c | {"budget_usd": math.inf}), "budget"),
    (lab01.choice, lambda **c: choose(**c | {"deadline_hours": math.inf}), "deadline"),
]


@pytest.mark.parametrize(("check", "wrong", "words"), WRONG)
def test_common_mistakes_are_pointed_at_without_the_answer(check, wrong, words):
    seen = []

    def spy(**case):
        seen.append(case)
        return wrong(**case)

    for _ in range(3):
        seen.clear()
        with pytest.raises(CheckError) as caught:
            check(spy)
        assert words in caught.value.remedy
        assert "not right for" in caught.value.problem
        failing = next(case for case in seen if wrong(**case) != check.reference(**case))
        right = check.reference(**failing)
        if not isinstance(right, str | None):
            told = re.findall(r"\d[\d,.]*(?:e[+-]?\d+)?", caught.value.problem.split("Your ")[-1])
            told += re.findall(r"\d[\d,.]*\d", caught.value.remedy)
            figures = [float(number.replace(",", "").rstrip(".")) for number in told]
            assert not any(math.isclose(figure, right, rel_tol=1e-4) for figure in figures)


@pytest.mark.parametrize(("check", "_answer"), RIGHT)
def test_stubs_and_broken_answers_get_a_sentence(check, _answer):
    def stub(**_):
        raise NotImplementedError

    def crash(**_):
        return 1 / 0

    for wrong, words in (
        (stub, "not written yet"),
        (crash, "ZeroDivisionError"),
        (lambda: 1, "TypeError"),
        (lambda **_: ["many"], "many|list"),
        (lambda **_: float("nan"), "not right"),
    ):
        with pytest.raises(CheckError, match=words):
            check(wrong)
    with pytest.raises(CheckError, match="return"):
        lab01.parameters(lambda **_: None)


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (lab01.activations, lambda **c: _activations_with_floor_division(**c)),
        (lab01.choice, lambda options, **c: choose(_nine_tenths(options), **c)),
    ],
)
def test_near_misses_fail(check, wrong):
    with pytest.raises(CheckError):
        check(wrong)


def _activations_with_floor_division(layers, hidden, heads, sequence_length, micro_batch):
    per_layer = 34 + 5 * heads * sequence_length // hidden
    return layers * sequence_length * micro_batch * hidden * per_layer / 2**30


def _strict(case, limit):
    return choose(**case | {limit: case[limit] * 0.999999})


def _more_needed(options):
    return [o | {"needed_gib": o["needed_gib"] * 1.0000001} for o in options]


def _attention_across_sequences(layers, hidden, ffn, vocabulary, sequence_length, sequences):
    linear = six_n_d(layers, hidden, ffn, vocabulary, sequence_length, sequences)
    return linear + 12 * layers * (sequence_length * sequences) ** 2 * hidden


def _nine_tenths(options):
    return [o | {"device_gib": 0.9 * o["device_gib"]} for o in options]


def test_an_answer_that_changes_its_arguments_does_not_fool_the_check():
    with pytest.raises(CheckError, match="'slow'"):
        lab01.choice(lambda options, **_: options.clear())

    def first_only(options, **limits):
        options[:] = options[:1]
        return choose(options, **limits)

    with pytest.raises(CheckError):
        lab01.choice(first_only)


def test_cases_are_fresh_each_time():
    seen = []

    def spy(parameters):
        seen.append(parameters)
        return states(parameters)

    lab01.state_memory(spy)
    first, seen[:] = seen[1:], []
    lab01.state_memory(spy)
    assert not set(first) & set(seen[1:])


def test_answers_fitted_to_the_example_alone_fail():
    example = lab01.parameters.example
    right = lab01.parameters.reference(**example)
    with pytest.raises(CheckError):
        lab01.parameters(lambda **_: right)
