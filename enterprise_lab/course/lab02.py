"""The exercises of lab 02, hardware comparison: references, random cases, common mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from enterprise_lab.course.exercise import Case, Exercise, Mistake
from enterprise_lab.units import GB, HOUR, TERA

_MILLI = 1e-3
MINIMUM_SECONDS = 60
"""Charged at least: https://aws.amazon.com/about-aws/whats-new/2017/10/announcing-amazon-ec2-per-second-billing/"""


def _pick(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _spread(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a factor, as likely below the geometric middle as above."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


# 1. Arithmetic intensity


def _intensity(bytes_per_number: float, **layer: float) -> float:
    moved = _inputs(**layer) + _weights(**layer) + _outputs(**layer)
    return _flops(**layer) / (moved * bytes_per_number)


def _flops(batch: float, image_size: float, **layer: float) -> float:
    return 2 * batch * image_size**2 * _weights(**layer)


def _weights(in_channels: float, out_channels: float, kernel: float, **_: float) -> float:
    return in_channels * out_channels * kernel**2


def _inputs(batch: float, image_size: float, in_channels: float, **_: float) -> float:
    return batch * image_size**2 * in_channels


def _outputs(batch: float, image_size: float, out_channels: float, **_: float) -> float:
    return batch * image_size**2 * out_channels


def _intensity_if_moved(amount: Callable[..., float]) -> Callable[..., float]:
    return lambda bytes_per_number, **layer: _flops(**layer) / (amount(**layer) * bytes_per_number)


intensity = Exercise(
    "intensity",
    _intensity,
    lambda rng: {
        "batch": _pick(rng, 2, 256),
        "image_size": _pick(rng, 4, 64),
        "in_channels": _pick(rng, 3, 512),
        "out_channels": _pick(rng, 8, 512),
        "kernel": int(rng.choice([1, 3, 5, 7])),
        "bytes_per_number": int(rng.choice([2, 4])),
    },
    example={
        "batch": 2, "image_size": 3, "in_channels": 2, "out_channels": 2, "kernel": 3,
        "bytes_per_number": 4,
    },
    mistakes=(
        Mistake(
            lambda **case: _intensity(**case) / 2,
            "A multiply-add is two operations: one multiplication and one addition.",
        ),
        Mistake(
            _intensity_if_moved(lambda **layer: _inputs(**layer) + _outputs(**layer)),
            "Images aren't all that is read: what are they multiplied with?",
        ),
        Mistake(
            _intensity_if_moved(
                lambda **layer: (
                    _inputs(**layer) + _outputs(**layer) + layer["batch"] * _weights(**layer)
                )
            ),
            "All images of a batch share one set of weights, and it is read once.",
        ),
        Mistake(
            _intensity_if_moved(lambda **layer: _inputs(**layer) + _weights(**layer)),
            "What the layer computes has to be written somewhere.",
        ),
        Mistake(
            _intensity_if_moved(lambda **layer: _outputs(**layer) + _weights(**layer)),
            "The weights are read and the output is written; what else is read?",
        ),
        Mistake(
            lambda **case: _intensity(**case) * case["bytes_per_number"],
            "That is operations per number moved; the task asks for operations per byte.",
        ),
        *(
            Mistake(
                one_sided,
                "An image has two sides: how many places does the kernel visit? And how many"
                " numbers does a channel hold?",
            )
            for one_sided in (
                lambda **case: _intensity(**case) / case["image_size"],
                lambda batch, image_size, **case: _intensity(
                    batch=batch * image_size, image_size=1, **case
                ),
            )
        ),
        *(
            Mistake(row, "A kernel is a square: how many numbers has it in each channel?")
            for row in (
                lambda **case: _intensity(**case) / case["kernel"],
                lambda kernel, **case: _intensity(kernel=math.sqrt(kernel), **case),
            )
        ),
        Mistake(
            _intensity_if_moved(
                lambda **layer: (
                    _inputs(**layer) * layer["kernel"] ** 2 + _weights(**layer) + _outputs(**layer)
                )
            ),
            "Neighbouring windows share most of their numbers, and each input is read once.",
        ),
        Mistake(
            lambda **case: 1 / _intensity(**case),
            "That is bytes per operation: upside down.",
        ),
    ),
)  # fmt: skip


# 2. The roofline


def _attainable(flops_per_byte: float, peak_tflops: float, bandwidth_gb_per_second: float) -> float:
    return min(peak_tflops, _fed(flops_per_byte, bandwidth_gb_per_second))


def _fed(flops_per_byte: float, bandwidth_gb_per_second: float, **_: float) -> float:
    """Return the TFLOP/s that memory brings numbers for."""
    return flops_per_byte * bandwidth_gb_per_second * GB / TERA


def _roofline_case(rng: np.random.Generator) -> Case:
    peak, bandwidth = _pick(rng, 1, 1000), _pick(rng, 50, 5000)
    ridge = peak * TERA / (bandwidth * GB)
    return {
        "flops_per_byte": _three_digits(ridge * _spread(rng, 0.1, 10)),
        "peak_tflops": float(peak),
        "bandwidth_gb_per_second": float(bandwidth),
    }


attainable = Exercise(
    "attainable",
    _attainable,
    _roofline_case,
    example={"flops_per_byte": 10.0, "peak_tflops": 20.0, "bandwidth_gb_per_second": 500.0},
    mistakes=(
        Mistake(
            lambda **case: max(case["peak_tflops"], _fed(**case)),
            "Two limits hold at once: which of them is reached first?",
        ),
        Mistake(
            lambda **case: case["peak_tflops"],
            "You always find the peak. Can memory always keep up with it? And do you compare the"
            " two in the same unit?",
        ),
        Mistake(
            _fed,
            "However often a number is used, the chip can't compute faster than its peak.",
        ),
        Mistake(
            lambda **case: _attainable(**case) * TERA / GB,
            "These are GFLOP/s; the task asks for TFLOP/s.",
        ),
        Mistake(
            lambda **case: min(case["peak_tflops"], _fed(**case) * 1000 / 1024),
            "1 GB/s is 10**9 bytes a second, and 1 TFLOP/s 10**12: a thousand lies between them.",
        ),
        Mistake(
            lambda **case: _attainable(**case) * TERA,
            "These are FLOP/s; the task asks for TFLOP/s.",
        ),
        Mistake(
            lambda **case: case["peak_tflops"] + _fed(**case),
            "The two rates are limits, not shares of the work: what do two limits leave?",
        ),
        Mistake(
            lambda **case: 1 / (1 / case["peak_tflops"] + 1 / _fed(**case)),
            "That is a chip that waits for its memory and only then computes. The roofline lets"
            " them work at the same time.",
        ),
        Mistake(
            lambda flops_per_byte, **case: _attainable(1 / flops_per_byte, **case),
            "FLOP per byte times bytes a second are FLOP a second; what have you divided by?",
        ),
    ),
)


# 3. Where the GPU begins to win


def _break_even(
    cpu_overhead_us: int, cpu_us_per_image: int, gpu_overhead_us: int, gpu_us_per_image: int
) -> int | None:
    later = gpu_overhead_us - cpu_overhead_us
    gained = cpu_us_per_image - gpu_us_per_image
    if later < gained:
        return 1
    return later // gained + 1 if gained > 0 else None


def _images_to_gain(
    cpu_overhead_us: int, cpu_us_per_image: int, gpu_overhead_us: int, gpu_us_per_image: int
) -> float:
    """Return where the two lines cross, in images; far beyond any batch where they don't."""
    gained = cpu_us_per_image - gpu_us_per_image
    return (gpu_overhead_us - cpu_overhead_us) / gained if gained else 1e18


def _where_it_can_win(batch: Callable[..., int]) -> Callable[..., int | None]:
    return lambda **case: None if _break_even(**case) is None else batch(**case)


def _break_even_case(rng: np.random.Generator) -> Case:
    """Draw lines that cross: anywhere, at a whole batch, far out, before one image; or never do."""
    cpu_overhead, cpu_per_image = _pick(rng, 100, 500), _pick(rng, 20, 300)
    gpu_per_image = _pick(rng, 1, cpu_per_image // 4)
    gained = cpu_per_image - gpu_per_image
    gpu_overhead = cpu_overhead + _pick(rng, 300, 3000)
    kinds = ["cross", "at a whole batch", "far out", "never", "never", "at once", "at once"]
    match str(rng.choice(kinds)):
        case "at a whole batch":
            gpu_overhead = cpu_overhead + gained * _pick(rng, 1, 30)
        case "never":
            gpu_per_image = cpu_per_image + _pick(rng, 0, 2) * _pick(rng, 1, 100)
        case "at once":
            gpu_overhead = _pick(rng, 1, cpu_overhead)
        case "far out":
            gpu_per_image = cpu_per_image - _pick(rng, 1, 3)
            gpu_overhead = cpu_overhead + _pick(rng, 100_000, 1_000_000)
    return {
        "cpu_overhead_us": cpu_overhead,
        "cpu_us_per_image": cpu_per_image,
        "gpu_overhead_us": gpu_overhead,
        "gpu_us_per_image": gpu_per_image,
    }


break_even_batch = Exercise(
    "break_even_batch",
    _break_even,
    _break_even_case,
    example={
        "cpu_overhead_us": 10, "cpu_us_per_image": 50,
        "gpu_overhead_us": 100, "gpu_us_per_image": 5,
    },
    mistakes=(
        Mistake(
            lambda **case: _break_even(**case | {"cpu_overhead_us": 0}),
            "A CPU's step doesn't begin at nothing, either.",
        ),
        *(
            Mistake(
                _where_it_can_win(too_early),
                "Try your batch, and the one after it: with which is the GPU really faster?",
            )
            for too_early in (
                lambda **case: max(1, math.ceil(_images_to_gain(**case))),
                lambda **case: max(1, math.floor(_images_to_gain(**case))),
            )
        ),
        *(
            Mistake(
                _where_it_can_win(unlimited),
                "A step has at least one image, however good the GPU is.",
            )
            for unlimited in (
                lambda **case: math.floor(_images_to_gain(**case)) + 1,
                lambda **case: max(0, math.floor(_images_to_gain(**case)) + 1),
            )
        ),
        *(
            Mistake(
                _where_it_can_win(
                    lambda divide_by=divide_by, **case: max(
                        1,
                        (case["gpu_overhead_us"] - case["cpu_overhead_us"]) // case[divide_by] + 1,
                    )
                ),
                "One more image makes both steps longer: by how much does the GPU gain on the CPU?",
            )
            for divide_by in ("cpu_us_per_image", "gpu_us_per_image")
        ),
        *(
            Mistake(
                always,
                "Can the GPU always catch up? Think of one that is no faster with an image, and"
                " starts later.",
            )
            for always in (
                lambda **case: _break_even(**case) or 0,
                lambda **case: _break_even(**case) or 1,
                lambda **case: _break_even(**case) or math.inf,
                lambda **case: math.floor(min(_images_to_gain(**case), 0)) + 1
                if _break_even(**case) in (None, 1) else _break_even(**case),
            )
        ),
    ),
)  # fmt: skip


# 4. Precision


def _speedup(
    flops: float,
    fp32_bytes: float,
    fp32_tflops: float,
    bf16_tflops: float,
    bandwidth_gb_per_second: float,
) -> float:
    computing, moving = _fp32_times(flops, fp32_bytes, fp32_tflops, bandwidth_gb_per_second)
    return max(computing, moving) / max(computing * fp32_tflops / bf16_tflops, moving / 2)


def _fp32_times(
    flops: float, fp32_bytes: float, fp32_tflops: float, bandwidth_gb_per_second: float
) -> tuple[float, float]:
    """Return the seconds of computing and those of moving bytes."""
    return flops / (fp32_tflops * TERA), fp32_bytes / (bandwidth_gb_per_second * GB)


def _changed(how: Callable[..., float]) -> Callable[..., float]:
    """Give a mistake the four times: computing and moving in fp32, the same in bf16."""

    def answer(bf16_tflops: float, **case: float) -> float:
        computing, moving = _fp32_times(**case)
        return how(computing, moving, computing * case["fp32_tflops"] / bf16_tflops, moving / 2)

    return answer


def _precision_case(rng: np.random.Generator) -> Case:
    fp32, bandwidth = _pick(rng, 5, 70), _pick(rng, 100, 5000)
    flops = _three_digits(_spread(rng, 1e8, 1e12))
    moving = flops / (fp32 * TERA) * _spread(rng, 0.05, 5)
    return {
        "flops": flops,
        "fp32_bytes": _three_digits(moving * bandwidth * GB),
        "fp32_tflops": float(fp32),
        "bf16_tflops": float(fp32 * _pick(rng, 3, 16)),
        "bandwidth_gb_per_second": float(bandwidth),
    }


precision_speedup = Exercise(
    "precision_speedup",
    _speedup,
    _precision_case,
    example={
        "flops": 2e9, "fp32_bytes": 1e8, "fp32_tflops": 10.0, "bf16_tflops": 100.0,
        "bandwidth_gb_per_second": 1000.0,
    },
    mistakes=(
        Mistake(
            lambda **case: case["bf16_tflops"] / case["fp32_tflops"],
            "That is how much faster the chip computes. Does it also get its numbers that much"
            " faster? (If you compared times: are both in seconds?)",
        ),
        Mistake(
            lambda **_: 2.0,
            "That is how much less is moved. Is moving always what takes longest? (If you compared"
            " times: are both in seconds?)",
        ),
        Mistake(
            _changed(lambda c32, m32, c16, _: max(c32, m32) / max(c16, m32)),
            "A bf16 number is shorter: what does that change besides the arithmetic?",
        ),
        Mistake(
            _changed(lambda c32, m32, c16, m16: max(c32, m32) / max(c16, m16 / 2)),
            "Count the bits: how much shorter is a bf16 number than one of fp32?",
        ),
        Mistake(
            _changed(lambda c32, m32, c16, m16: (c32 + m32) / (c16 + m16)),
            "Computing and moving go on at the same time: the step is not their sum.",
        ),
        Mistake(
            _changed(lambda c32, m32, c16, m16: min(c32, m32) / min(c16, m16)),
            "A layer is done when the slower of the two is done, not the quicker.",
        ),
        Mistake(
            lambda **case: 1 / _speedup(**case),
            "Upside down: a layer that is done sooner has a speed-up above 1.",
        ),
        Mistake(
            _changed(lambda c32, m32, c16, m16: c32 / c16 if c32 > m32 else m32 / m16),
            "What holds up the layer in fp32 need not be what holds it up in bf16.",
        ),
    ),
)  # fmt: skip


# 5. The input pipeline


def _images_per_second(
    decode_ms: float, workers: int, step_ms: float, batch: int, prefetch: bool
) -> float:
    load_ms = batch * decode_ms / workers
    both_ms = max(load_ms, step_ms) if prefetch else load_ms + step_ms
    return batch / (both_ms * _MILLI)


def _pipeline_case(rng: np.random.Generator) -> Case:
    decode_ms, workers, batch = _pick(rng, 5, 100) / 10, _pick(rng, 2, 16), 8 * _pick(rng, 2, 64)
    return {
        "decode_ms": decode_ms,
        "workers": workers,
        "step_ms": _three_digits(batch * decode_ms / workers * _spread(rng, 0.3, 3)),
        "batch": batch,
        "prefetch": bool(rng.integers(2)),
    }


_EACH_ALONE: tuple[dict[str, float], ...] = ({"decode_ms": 0.0}, {"step_ms": 0.0})

pipeline_images_per_second = Exercise(
    "pipeline_images_per_second",
    _images_per_second,
    _pipeline_case,
    example={"decode_ms": 2.0, "workers": 4, "step_ms": 30.0, "batch": 100, "prefetch": True},
    mistakes=(
        Mistake(
            lambda **case: _images_per_second(**case | {"prefetch": False}),
            "With prefetching, what do the workers do while the chip computes?",
        ),
        Mistake(
            lambda **case: _images_per_second(**case | {"prefetch": True}),
            "Without prefetching, what does the chip do while the workers decode?",
        ),
        Mistake(
            lambda **case: _images_per_second(**case | {"prefetch": not case["prefetch"]}),
            "Prefetching makes the workers decode the next batch during the step. Which of your"
            " two cases is that?",
        ),
        Mistake(
            lambda **case: _images_per_second(**case | {"workers": 1}),
            "Several workers decode at the same time.",
        ),
        Mistake(
            lambda **case: _images_per_second(**case) / case["batch"],
            "These are steps a second; each brings several images.",
        ),
        Mistake(
            lambda decode_ms, **case: _images_per_second(decode_ms / case["batch"], **case),
            "The time to decode is that of one image; a step needs a batch of them.",
        ),
        Mistake(
            lambda **case: _images_per_second(**case) * _MILLI,
            "These are images a millisecond; the task asks for images a second.",
        ),
        Mistake(
            lambda step_ms, **case: _images_per_second(step_ms=step_ms / case["workers"], **case),
            "Workers decode; the chip's step is not done any sooner for them.",
        ),
        Mistake(
            lambda prefetch, **case: (
                max(_images_per_second(prefetch=True, **case | change) for change in _EACH_ALONE)
                if prefetch
                else _images_per_second(prefetch=False, **case)
            ),
            "Two that work side by side are as fast as the slower of them.",
        ),
    ),
)

# 6. Dollars for an accuracy


def _usd(
    images_per_second: float, epochs: int, images: int, start_up_seconds: float, usd_per_hour: float
) -> float:
    training_seconds = epochs * images / images_per_second
    return _charge(max(MINIMUM_SECONDS, start_up_seconds + training_seconds), usd_per_hour)


def _charge(seconds: float, usd_per_hour: float) -> float:
    return seconds / HOUR * usd_per_hour


def _charged_for(seconds: Callable[[float, float], float]) -> Callable[..., float]:
    """Give a mistake the seconds of starting up and of training."""
    return lambda images_per_second, epochs, images, start_up_seconds, usd_per_hour: _charge(
        seconds(start_up_seconds, epochs * images / images_per_second), usd_per_hour
    )


def _usd_case(rng: np.random.Generator) -> Case:
    """Draw whole seconds, so that rounding them up changes nothing; some are too few to pay."""
    rate = _pick(rng, 100, 5000)
    epoch_seconds, start_up = _pick(rng, 20, 900), _pick(rng, 20, 300)
    if rng.random() < 1 / 3:
        epoch_seconds, start_up = _pick(rng, 1, 3), _pick(rng, 5, 20)
    return {
        "images_per_second": float(rate),
        "epochs": _pick(rng, 2, 12),
        "images": rate * epoch_seconds,
        "start_up_seconds": start_up,
        "usd_per_hour": _pick(rng, 10, 5000) / 100,
    }


usd_to_accuracy = Exercise(
    "usd_to_accuracy",
    _usd,
    _usd_case,
    example={
        "images_per_second": 1000.0, "epochs": 3, "images": 50_000, "start_up_seconds": 30,
        "usd_per_hour": 4.0,
    },
    mistakes=(
        Mistake(
            lambda **case: _usd(**case | {"start_up_seconds": 0}),
            "The clock of the bill starts when the machine does, not when training does.",
        ),
        Mistake(
            _charged_for(lambda start_up, training: start_up + training),
            "Some of these runs are shorter than the shortest that can be paid for.",
        ),
        Mistake(
            _charged_for(lambda start_up, training: start_up + max(MINIMUM_SECONDS, training)),
            "The minimum is for all the time the machine runs, starting up included.",
        ),
        Mistake(
            _charged_for(lambda start_up, training: start_up + training + MINIMUM_SECONDS),
            "A minimum isn't added: what does it do to a run that is long enough?",
        ),
        Mistake(
            _charged_for(lambda start_up, training: min(MINIMUM_SECONDS, start_up + training)),
            "At least a minute is charged, not at most.",
        ),
        Mistake(
            lambda **case: _usd(**case | {"epochs": 1}),
            "How many times does training see the images?",
        ),
        Mistake(
            lambda **case: _usd(**case) * HOUR,
            "The price is for an hour, your time in seconds.",
        ),
        Mistake(
            lambda **case: _usd(**case) * 60,
            "How many seconds has an hour? Yours has as many as a minute.",
        ),
        Mistake(
            lambda start_up_seconds, epochs, **case: _usd(
                start_up_seconds=epochs * start_up_seconds, epochs=epochs, **case
            ),
            "The machine starts up once, not before each epoch.",
        ),
        Mistake(
            _charged_for(lambda start_up, training: math.ceil((start_up + training) / HOUR) * HOUR),
            "An hour that has begun isn't paid whole: the bill counts seconds.",
        ),
    ),
)  # fmt: skip


# 7. Choice

Options = list[dict[str, Any]]


def _choose(options: Options, deadline_seconds: float) -> str | None:
    return _best(_in_time(options, deadline_seconds), lambda o: (_bill(o), _total(o)))


def _total(option: dict[str, Any]) -> float:
    return float(option["seconds"] + option["start_up_seconds"])


def _bill(option: dict[str, Any]) -> float:
    return _charge(max(MINIMUM_SECONDS, _total(option)), option["usd_per_hour"])


def _in_time(options: Options, deadline_seconds: float) -> Options:
    return [o for o in options if _total(o) <= deadline_seconds]


def _best(options: Options, key: Callable[[dict[str, Any]], Any]) -> str | None:
    return str(min(options, key=key)["name"]) if options else None


def _best_in_time(key: Callable[[dict[str, Any]], Any]) -> Callable[..., str | None]:
    return lambda **case: _best(_in_time(**case), key)


def _training_bill(option: dict[str, Any]) -> tuple[float, float]:
    billed = max(MINIMUM_SECONDS, option["seconds"])
    return _charge(billed, option["usd_per_hour"]), _total(option)


def _option(rng: np.random.Generator, letter: str) -> dict[str, Any]:
    hundreds = _spread(rng, 2, 40)
    return {
        "name": f"{letter}.{_pick(rng, 2, 48)}xlarge",
        "seconds": 2 * round(50 * hundreds),
        "start_up_seconds": 2 * _pick(rng, 30, 300),
        "usd_per_hour": round(_spread(rng, 20, 40) / hundreds, 2),
    }


def _twin(option: dict[str, Any]) -> dict[str, Any]:
    """Return one that does the same for the same money in half the time."""
    return {
        "name": option["name"].replace("xlarge", "xlarge-twin"),
        "seconds": option["seconds"] // 2,
        "start_up_seconds": option["start_up_seconds"] // 2,
        "usd_per_hour": 2 * option["usd_per_hour"],
    }


def _short_choice_case(rng: np.random.Generator) -> Case:
    """Draw runs of about the minute that is billed at least."""
    options = [
        _option(rng, letter)
        | {
            "seconds": _pick(rng, 5, 60),
            "start_up_seconds": _pick(rng, 5, 30),
            "usd_per_hour": round(_spread(rng, 1, 8), 2),
        }
        for letter in "abcdef"
    ]
    return {"options": options, "deadline_seconds": _pick(rng, 40, 90)}


def _choice_case(rng: np.random.Generator) -> Case:
    if rng.random() < 1 / 4:
        return _short_choice_case(rng)
    options = [_option(rng, letter) for letter in "abcdef"]
    options.append(_twin(options[_pick(rng, 0, len(options) - 1)]))
    deadline = _total(options[_pick(rng, 0, len(options) - 1)])
    if rng.random() < 1 / 3:
        deadline = min(map(_total, options)) + _pick(rng, -100, 500)
    rng.shuffle(options)
    return {"options": options, "deadline_seconds": int(deadline)}


choose_hardware = Exercise(
    "choose_hardware",
    _choose,
    _choice_case,
    example={
        "options": [
            {"name": "cpu", "seconds": 3_500, "start_up_seconds": 100, "usd_per_hour": 1.0},
            {"name": "small", "seconds": 1_100, "start_up_seconds": 200, "usd_per_hour": 3.0},
            {"name": "middle", "seconds": 1_000, "start_up_seconds": 200, "usd_per_hour": 4.5},
            {"name": "large", "seconds": 500, "start_up_seconds": 100, "usd_per_hour": 9.0},
            {"name": "huge", "seconds": 100, "start_up_seconds": 200, "usd_per_hour": 36.0},
        ],
        "deadline_seconds": 1_200,
    },
    mistakes=(
        Mistake(
            lambda options, deadline_seconds: _choose(options, math.inf),  # noqa: ARG005
            "Some of these arrive after the deadline.",
        ),
        *(
            Mistake(
                later,
                "Training can only begin when the machine has started: when is it done?",
            )
            for later in (
                lambda options, deadline_seconds: _best(
                    [o for o in options if o["seconds"] <= deadline_seconds],
                    lambda o: (_bill(o), _total(o)),
                ),
                lambda options, deadline_seconds: _best(
                    [o for o in options if o["seconds"] <= deadline_seconds], _training_bill
                ),
            )
        ),
        Mistake(
            _best_in_time(_training_bill),
            "The machine costs money while it starts up, too.",
        ),
        Mistake(
            _best_in_time(lambda o: (o["usd_per_hour"] * _total(o), _total(o))),
            "Some of these are done in less than the shortest time that can be paid for.",
        ),
        Mistake(
            lambda options, deadline_seconds: _best(
                [o for o in options if max(MINIMUM_SECONDS, _total(o)) <= deadline_seconds],
                lambda o: (_bill(o), _total(o)),
            ),
            "The minute is on the bill; the result is there sooner.",
        ),
        Mistake(
            _best_in_time(_total),
            "That is the fastest of those in time; which one costs least?",
        ),
        Mistake(
            _best_in_time(lambda o: o["usd_per_hour"]),
            "Cheap by the hour is not cheap for the job: a slow machine is rented longer.",
        ),
        Mistake(
            lambda options, deadline_seconds: _choose(
                [min(options, key=_bill)], deadline_seconds
            ),
            "When the cheapest of all comes too late, another may not: first sort out, then"
            " compare.",
        ),
        Mistake(
            lambda options, deadline_seconds: _choose(options, deadline_seconds - 0.5),
            "Just in time is in time.",
        ),
        *(
            Mistake(_best_in_time(tie), "Two of these cost the same: which one would you rather?")
            for tie in (_bill, lambda o: (_bill(o), -_total(o)))
        ),
    ),
)  # fmt: skip
