"""Lab 02's checks: right answers pass, each common mistake fails and is pointed at.

The wrong answers are written as a student would write them, from scratch.
"""

import math
import re

import numpy as np
import pytest

from enterprise_lab.course import CheckError, lab02


def intensity(batch, image_size, in_channels, out_channels, kernel, bytes_per_number):
    places = batch * image_size**2
    weights = in_channels * out_channels * kernel**2
    numbers = places * in_channels + weights + places * out_channels
    return 2 * places * weights / (numbers * bytes_per_number)


def attainable(flops_per_byte, peak_tflops, bandwidth_gb_per_second):
    return min(peak_tflops, flops_per_byte * bandwidth_gb_per_second / 1000)


def break_even(cpu_overhead_us, cpu_us_per_image, gpu_overhead_us, gpu_us_per_image):
    for batch in range(1, 1_100_000):
        cpu = cpu_overhead_us + batch * cpu_us_per_image
        if gpu_overhead_us + batch * gpu_us_per_image < cpu:
            return batch
    return None


def speedup(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
    bandwidth = bandwidth_gb_per_second * 1e9
    fp32 = max(flops / (fp32_tflops * 1e12), fp32_bytes / bandwidth)
    bf16 = max(flops / (bf16_tflops * 1e12), fp32_bytes / 2 / bandwidth)
    return fp32 / bf16


def images_per_second(decode_ms, workers, step_ms, batch, prefetch):
    load_ms = batch * decode_ms / workers
    if prefetch:
        return 1000 * batch / max(load_ms, step_ms)
    return 1000 * batch / (load_ms + step_ms)


def usd(images_per_second, epochs, images, start_up_seconds, usd_per_hour):
    seconds = start_up_seconds + epochs * images / images_per_second
    return max(seconds, 60) * usd_per_hour / 3600


def choose(options, deadline_seconds):
    best = None
    for o in options:
        took = o["seconds"] + o["start_up_seconds"]
        if took > deadline_seconds:
            continue
        rank = (max(60, took) * o["usd_per_hour"], took)
        if best is None or rank < best[0]:
            best = (rank, o["name"])
    return best and best[1]


RIGHT = [
    (lab02.intensity, intensity),
    (lab02.attainable, attainable),
    (lab02.break_even_batch, break_even),
    (lab02.precision_speedup, speedup),
    (lab02.pipeline_images_per_second, images_per_second),
    (lab02.usd_to_accuracy, usd),
    (lab02.choose_hardware, choose),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer, capsys):
    for _ in range(5):
        check(answer)
    assert "✓" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("check", "by_hand"),
    [
        # 2 x 9 places x 36 weights x 2 FLOP; 36 + 36 + 36 numbers of 4 bytes
        (lab02.intensity, 1296 / 432),
        (lab02.attainable, 5.0),  # 10 FLOP/B x 0.5 TB/s, below the peak of 20
        (lab02.break_even_batch, 3),  # with two images both take 110 us
        (lab02.precision_speedup, 4.0),  # 0.2 ms of arithmetic; then 0.05 ms of memory
        (lab02.pipeline_images_per_second, 2000.0),  # 100 images in 50 ms
        (lab02.usd_to_accuracy, 0.20),  # 180 s at 4 dollars an hour
        (lab02.choose_hardware, "large"),  # 5,400 dollar-seconds, as the slower middle one
    ],
)
def test_worked_examples_are_what_a_person_finds(check, by_hand):
    assert check.reference(**check.example) == (
        by_hand if isinstance(by_hand, str) else pytest.approx(by_hand)
    )


# Wrong answers: (check, the mistake, words its message must have)


def intensity_moving(count):
    def wrong(batch, image_size, in_channels, out_channels, kernel, bytes_per_number):
        places = batch * image_size**2
        weights = in_channels * out_channels * kernel**2
        numbers = count(places * in_channels, weights, places * out_channels, batch)
        return 2 * places * weights / (numbers * bytes_per_number)

    return wrong


def side_not_squared(batch, image_size, in_channels, out_channels, kernel, bytes_per_number):
    places = batch * image_size
    weights = in_channels * out_channels * kernel**2
    numbers = places * in_channels + weights + places * out_channels
    return 2 * places * weights / (numbers * bytes_per_number)


def kernel_not_squared(batch, image_size, in_channels, out_channels, kernel, bytes_per_number):
    places = batch * image_size**2
    weights = in_channels * out_channels * kernel
    numbers = places * in_channels + weights + places * out_channels
    return 2 * places * weights / (numbers * bytes_per_number)


def gigabytes_for_terabytes(flops_per_byte, peak_tflops, bandwidth_gb_per_second):
    return min(peak_tflops, flops_per_byte * bandwidth_gb_per_second)


def larger_of_two(flops_per_byte, peak_tflops, bandwidth_gb_per_second):
    return max(peak_tflops, flops_per_byte * bandwidth_gb_per_second / 1000)


def one_after_the_other(flops_per_byte, peak_tflops, bandwidth_gb_per_second):
    memory = flops_per_byte * bandwidth_gb_per_second / 1000
    return peak_tflops * memory / (peak_tflops + memory)


def divided_bandwidth(flops_per_byte, peak_tflops, bandwidth_gb_per_second):
    return min(peak_tflops, bandwidth_gb_per_second / 1000 / flops_per_byte)


def crossing(round_up, *, smallest=1, never=None):
    def wrong(cpu_overhead_us, cpu_us_per_image, gpu_overhead_us, gpu_us_per_image):
        if gpu_us_per_image >= cpu_us_per_image:
            return never
        ratio = (gpu_overhead_us - cpu_overhead_us) / (cpu_us_per_image - gpu_us_per_image)
        return max(smallest, round_up(ratio))

    return wrong


def after(ratio):
    return math.floor(ratio) + 1


def overhead_over(per_image):
    def wrong(**c):
        if c["gpu_us_per_image"] >= c["cpu_us_per_image"]:
            return None
        return max(1, (c["gpu_overhead_us"] - c["cpu_overhead_us"]) // c[per_image] + 1)

    return wrong


def bf16_bytes(share):
    def wrong(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
        bandwidth = bandwidth_gb_per_second * 1e9
        fp32 = max(flops / (fp32_tflops * 1e12), fp32_bytes / bandwidth)
        return fp32 / max(flops / (bf16_tflops * 1e12), fp32_bytes * share / bandwidth)

    return wrong


def times_combined(how):
    def wrong(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
        memory = fp32_bytes / (bandwidth_gb_per_second * 1e9)
        fp32, bf16 = flops / (fp32_tflops * 1e12), flops / (bf16_tflops * 1e12)
        return how((fp32, memory)) / how((bf16, memory / 2))

    return wrong


def tflops_as_they_are(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
    moving = fp32_bytes / (bandwidth_gb_per_second * 1e9)
    return max(flops / fp32_tflops, moving) / max(flops / bf16_tflops, moving / 2)


def gigabytes_as_they_are(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
    moving = fp32_bytes / bandwidth_gb_per_second
    return max(flops / fp32_tflops / 1e12, moving) / max(flops / bf16_tflops / 1e12, moving / 2)


def what_holds_up_fp32(flops, fp32_bytes, fp32_tflops, bf16_tflops, bandwidth_gb_per_second):
    if flops / (fp32_tflops * 1e12) > fp32_bytes / (bandwidth_gb_per_second * 1e9):
        return bf16_tflops / fp32_tflops
    return 2


def one_image_a_load(decode_ms, workers, step_ms, batch, prefetch):
    load_ms = decode_ms / workers
    return 1000 * batch / (max(load_ms, step_ms) if prefetch else load_ms + step_ms)


def as_fast_as_the_faster(decode_ms, workers, step_ms, batch, prefetch):
    load_ms = batch * decode_ms / workers
    return 1000 * batch / (min(load_ms, step_ms) if prefetch else load_ms + step_ms)


def paying(for_seconds):
    def wrong(images_per_second, epochs, images, start_up_seconds, usd_per_hour):
        training = epochs * images / images_per_second
        return for_seconds(start_up_seconds, training) * usd_per_hour / 3600

    return wrong


def start_up_for_nothing(options, deadline_seconds):
    return choose([o | {"start_up_seconds": 0} for o in options], deadline_seconds)


def in_time(options, deadline_seconds):
    return [o for o in options if o["seconds"] + o["start_up_seconds"] <= deadline_seconds]


def first_by(key):
    def wrong(options, deadline_seconds):
        return min(in_time(options, deadline_seconds), key=key, default={"name": None})["name"]

    return wrong


def took(option):
    return option["seconds"] + option["start_up_seconds"]


def cost(option):
    return max(60, took(option)) * option["usd_per_hour"]


def minute_of_deadline(options, deadline_seconds):
    return choose([o for o in options if max(60, took(o)) <= deadline_seconds], deadline_seconds)


def cheapest_then_checked(options, deadline_seconds):
    return choose([min(options, key=cost)], deadline_seconds)


def deadline_for_training_only(options, deadline_seconds):
    return choose([o for o in options if o["seconds"] <= deadline_seconds], math.inf)


WRONG = [
    (lab02.intensity, lambda **c: intensity(**c) / 2, "multiply-add"),
    (lab02.intensity, intensity_moving(lambda i, _w, o, _n: i + o), "multiplied with"),
    (lab02.intensity, intensity_moving(lambda i, w, o, n: i + n * w + o), "share one set"),
    (lab02.intensity, intensity_moving(lambda i, w, _o, _n: i + w), "written somewhere"),
    (lab02.intensity, intensity_moving(lambda _i, w, o, _n: w + o), "what else is read"),
    (lab02.intensity, lambda **c: intensity(**c | {"bytes_per_number": 1}), "per byte"),
    (
        lab02.intensity,
        lambda **c: intensity_moving(lambda i, w, o, _n: i * c["kernel"] ** 2 + w + o)(**c),
        "read once",
    ),
    (lab02.intensity, side_not_squared, "two sides"),
    (lab02.intensity, lambda **c: intensity(**c) / c["image_size"], "two sides"),
    (lab02.intensity, kernel_not_squared, "kernel is a square"),
    (lab02.intensity, lambda **c: 1 / intensity(**c), "upside down"),
    (lab02.attainable, larger_of_two, "reached first"),
    (lab02.attainable, lambda **c: c["peak_tflops"], "Can memory always keep up"),
    (lab02.attainable, gigabytes_for_terabytes, "same unit"),
    (
        lab02.attainable,
        lambda flops_per_byte, peak_tflops, bandwidth_gb_per_second: min(
            peak_tflops, flops_per_byte * bandwidth_gb_per_second / 1024
        ),
        "a thousand lies between",
    ),
    (lab02.attainable, lambda **c: attainable(**c | {"peak_tflops": math.inf}), "its peak"),
    (lab02.attainable, lambda **c: 1000 * attainable(**c), "GFLOP/s"),
    (lab02.attainable, lambda **c: 1e12 * attainable(**c), "asks for TFLOP/s"),
    (lab02.attainable, one_after_the_other, "at the same time"),
    (
        lab02.attainable,
        lambda **c: c["peak_tflops"] + attainable(**c | {"peak_tflops": math.inf}),
        "two limits",
    ),
    (lab02.attainable, divided_bandwidth, "divided by"),
    (lab02.break_even_batch, lambda **c: break_even(**c | {"cpu_overhead_us": 0}), "CPU's step"),
    (lab02.break_even_batch, crossing(math.floor), "Try your batch"),
    (lab02.break_even_batch, crossing(math.ceil), "Try your batch"),
    (lab02.break_even_batch, crossing(after, smallest=-math.inf), "at least one image"),
    (lab02.break_even_batch, crossing(after, smallest=0), "at least one image"),
    (lab02.break_even_batch, crossing(after, never=0), "always catch up"),
    (lab02.break_even_batch, crossing(after, never=1), "always catch up"),
    (lab02.break_even_batch, overhead_over("cpu_us_per_image"), "gain on the CPU"),
    (lab02.break_even_batch, overhead_over("gpu_us_per_image"), "gain on the CPU"),
    (lab02.precision_speedup, lambda **c: c["bf16_tflops"] / c["fp32_tflops"], "get its numbers"),
    (lab02.precision_speedup, tflops_as_they_are, "both in seconds"),
    (lab02.precision_speedup, lambda **_: 2, "Is moving always"),
    (lab02.precision_speedup, gigabytes_as_they_are, "both in seconds"),
    (lab02.precision_speedup, bf16_bytes(1), "besides the arithmetic"),
    (lab02.precision_speedup, bf16_bytes(1 / 4), "Count the bits"),
    (lab02.precision_speedup, times_combined(sum), "not their sum"),
    (lab02.precision_speedup, times_combined(min), "slower of the two"),
    (lab02.precision_speedup, lambda **c: 1 / speedup(**c), "Upside down"),
    (lab02.precision_speedup, what_holds_up_fp32, "need not be"),
    (
        lab02.pipeline_images_per_second,
        lambda **c: images_per_second(**c | {"prefetch": False}),
        "With prefetching",
    ),
    (
        lab02.pipeline_images_per_second,
        lambda **c: images_per_second(**c | {"prefetch": True}),
        "Without prefetching",
    ),
    (
        lab02.pipeline_images_per_second,
        lambda prefetch, **c: images_per_second(prefetch=not prefetch, **c),
        "Which of your two cases",
    ),
    (
        lab02.pipeline_images_per_second,
        lambda **c: images_per_second(**c | {"workers": 1}),
        "Several workers",
    ),
    (
        lab02.pipeline_images_per_second,
        lambda **c: images_per_second(**c) / c["batch"],
        "steps a second",
    ),
    (lab02.pipeline_images_per_second, one_image_a_load, "that of one image"),
    (lab02.pipeline_images_per_second, lambda **c: images_per_second(**c) / 1000, "millisecond"),
    (
        lab02.pipeline_images_per_second,
        lambda step_ms, workers, **c: images_per_second(
            step_ms=step_ms / workers, workers=workers, **c
        ),
        "chip's step",
    ),
    (lab02.pipeline_images_per_second, as_fast_as_the_faster, "side by side"),
    (lab02.usd_to_accuracy, lambda **c: usd(**c | {"start_up_seconds": 0}), "clock of the bill"),
    (lab02.usd_to_accuracy, paying(lambda up, train: up + train), "shortest that can be paid"),
    (lab02.usd_to_accuracy, paying(lambda up, train: up + max(60, train)), "included"),
    (lab02.usd_to_accuracy, paying(lambda up, train: up + train + 60), "isn't added"),
    (lab02.usd_to_accuracy, paying(lambda up, train: min(60, up + train)), "not at most"),
    (
        lab02.usd_to_accuracy,
        paying(lambda up, train: 3600 * math.ceil((up + train) / 3600)),
        "counts seconds",
    ),
    (lab02.usd_to_accuracy, lambda **c: usd(**c | {"epochs": 1}), "How many times"),
    (lab02.usd_to_accuracy, lambda **c: usd(**c) * 3600, "price is for an hour"),
    (lab02.usd_to_accuracy, lambda **c: usd(**c) * 60, "How many seconds"),
    (
        lab02.usd_to_accuracy,
        lambda **c: usd(**c | {"start_up_seconds": c["epochs"] * c["start_up_seconds"]}),
        "starts up once",
    ),
    (lab02.choose_hardware, lambda options, **_: choose(options, math.inf), "after the deadline"),
    (lab02.choose_hardware, start_up_for_nothing, "when is it done"),
    (lab02.choose_hardware, deadline_for_training_only, "when is it done"),
    (
        lab02.choose_hardware,
        first_by(lambda o: (max(60, o["seconds"]) * o["usd_per_hour"], took(o))),
        "costs money while it starts",
    ),
    (
        lab02.choose_hardware,
        first_by(lambda o: (took(o) * o["usd_per_hour"], took(o))),
        "can be paid for",
    ),
    (lab02.choose_hardware, minute_of_deadline, "there sooner"),
    (lab02.choose_hardware, first_by(took), "fastest"),
    (lab02.choose_hardware, first_by(lambda o: o["usd_per_hour"]), "rented longer"),
    (lab02.choose_hardware, cheapest_then_checked, "first sort out"),
    (
        lab02.choose_hardware,
        lambda options, deadline_seconds: choose(options, deadline_seconds - 1e-6),
        "Just in time",
    ),
    (lab02.choose_hardware, first_by(cost), "cost the same"),
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
        failing = next(case for case in seen if not same(wrong(**case), check.reference(**case)))
        right = check.reference(**failing)
        if not isinstance(right, str | None):
            told = re.findall(r"-?\d[\d,.]*(?:e[+-]?\d+)?", caught.value.problem.split("Your ")[-1])
            told += re.findall(r"\d[\d,.]*\d", caught.value.remedy)
            figures = [float(number.replace(",", "").rstrip(".")) for number in told]
            assert not any(math.isclose(figure, right, rel_tol=1e-4) for figure in figures)


def same(mine, right):
    if isinstance(mine, int | float) and isinstance(right, int | float):
        return math.isclose(mine, right, rel_tol=1e-6)
    return mine == right


CHECKS = [check for check, _ in RIGHT]


@pytest.mark.parametrize("check", CHECKS)
def test_known_mistakes_differ_from_the_right_answer_and_from_each_other(check):
    rng = np.random.default_rng(1)
    cases = [check.example] + [check.case(rng) for _ in range(100)]
    right = [check.reference(**case) for case in cases]
    made = [[mistake.answer(**case) for case in cases] for mistake in check.mistakes]
    assert len({mistake.hint for mistake in check.mistakes}) >= 4
    for number, (mistake, answers) in enumerate(zip(check.mistakes, made, strict=True)):
        assert not all(map(same, answers, right)), mistake.hint
        for other, others in zip(check.mistakes[:number], made[:number], strict=True):
            if other.hint != mistake.hint:
                assert not all(map(same, answers, others)), (mistake.hint, other.hint)


@pytest.mark.parametrize("check", CHECKS)
def test_stubs_and_broken_answers_get_a_sentence(check):
    def stub(**_):
        raise NotImplementedError

    for wrong, words in (
        (stub, "not written yet"),
        (lambda **_: 1 / 0, "ZeroDivisionError"),
        (lambda **_: ["many"], "many|list"),
        (lambda **_: float("nan"), "not right"),
        (lambda **_: None, "not right"),
    ):
        with pytest.raises(CheckError, match=words):
            check(wrong)


def test_a_gpu_that_gains_nothing_is_among_the_cases_and_can_stop_a_division():
    def no_never(cpu_overhead_us, cpu_us_per_image, gpu_overhead_us, gpu_us_per_image):
        later, gained = gpu_overhead_us - cpu_overhead_us, cpu_us_per_image - gpu_us_per_image
        return max(1, later // gained + 1)

    with pytest.raises(CheckError) as caught:
        lab02.break_even_batch(no_never)
    assert "ZeroDivisionError" in caught.value.problem or "always catch up" in caught.value.remedy


def test_cases_reach_every_kind_of_answer():
    rng = np.random.default_rng(0)

    def drawn(check):
        cases = [check.case(rng) for _ in range(200)]
        return cases, [check.reference(**case) for case in cases]

    batches = drawn(lab02.break_even_batch)[1]
    assert {None, 1} < set(batches)
    cases, names = drawn(lab02.choose_hardware)
    assert None in names
    assert any(name and name.endswith("twin") for name in names)
    cases, rates = drawn(lab02.attainable)
    at_peak = [rate == case["peak_tflops"] for case, rate in zip(cases, rates, strict=True)]
    assert 50 < sum(at_peak) < 150
    cases, _ = drawn(lab02.usd_to_accuracy)
    seconds = [
        c["start_up_seconds"] + c["epochs"] * c["images"] / c["images_per_second"] for c in cases
    ]
    assert all(took == round(took) for took in seconds)
    assert any(took < 60 for took in seconds)
    assert any(took > 3600 for took in seconds)
