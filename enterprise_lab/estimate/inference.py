"""What serving a model needs: memory, latency, requests a second."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import InvalidValueError, require_kind, require_whole
from enterprise_lab.estimate import legality
from enterprise_lab.estimate.calibration import (
    Calibration,
    calibration,
    decoding_stack,
    serving_stack,
)
from enterprise_lab.estimate.cases import serving_case
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE
from enterprise_lab.estimate.inference_estimate import InferenceEstimate
from enterprise_lab.estimate.inference_memory import inference_memory
from enterprise_lab.estimate.intervals import families
from enterprise_lab.estimate.memory import allowances
from enterprise_lab.estimate.model_dimensions import Figures, ModelDimensions
from enterprise_lab.estimate.plan import LARGEST_BATCH, MOST_DEVICES, Plan
from enterprise_lab.estimate.serving_time import decode_seconds, encode_seconds, prefill_seconds
from enterprise_lab.estimate.system import System
from enterprise_lab.shapes import LARGEST_IMAGE, ConvolutionalShape, Shape, require_shape

PRECISION_BITS = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8}
WEIGHT_BITS = (4, 8, 16, 32)


def inference(
    shape: Shape,
    *,
    accelerator: str | Accelerator,
    precision: str = "fp16",
    batch: int = 1,
    input_length: int = 0,
    output_length: int = 0,
    image_size: int = 224,
    tensor: int = 1,
    weight_bits: int | None = None,
    cache_bits: int | None = None,
    fitted: Calibration | None = None,
) -> InferenceEstimate:
    """Predict the memory and time of serving batches of requests on one group of devices.

    Requests are `input_length` tokens long and get `output_length` new ones, none from encoders;
    convolutional networks take images of `image_size` squared pixels and no lengths. `tensor`
    devices share each layer. Weights are stored in `weight_bits` and the KV cache in
    `cache_bits`, by default the precision's own.

    Raises LabError for an unknown chip, a precision it lacks, a group that doesn't divide the
    model, lengths beyond its positions, and for sizes that can't be.
    """
    require_shape(shape)
    require_kind("fitted", fitted, Calibration | None, "calibration.calibration()")
    batch = require_whole("batch", batch, LARGEST_BATCH)
    tensor = require_whole("tensor", tensor, MOST_DEVICES)
    input_length = require_whole("input_length", input_length, LONGEST_SEQUENCE, smallest=0)
    output_length = require_whole("output_length", output_length, LONGEST_SEQUENCE, smallest=0)
    image_size = require_whole("image_size", image_size, LARGEST_IMAGE)
    chip = accelerator if isinstance(accelerator, Accelerator) else catalog.accelerator(accelerator)
    chip.peak_flops(precision)
    precision = precision.casefold()
    own_bits = PRECISION_BITS[precision]
    weights = _bits("weight_bits", weight_bits, own_bits)
    cache = _bits("cache_bits", cache_bits, own_bits)
    _check_lengths(shape, input_length, output_length)
    legality.check(shape, Plan(tensor=tensor), global_batch=1, sequence_length=input_length)

    calibrated = fitted or calibration()
    fit = calibrated.coefficients(serving_stack(shape, chip), precision)
    system = System.of(chip, precision)
    decode: Mapping[str, Figures] = {}
    if isinstance(shape, ConvolutionalShape):
        images = ImageDimensions.of(shape, image_size)
        prefill = image_seconds(images, system, fit, batch=batch, training=False)
    else:
        requests = {"batch": batch, "input_length": input_length, "tensor": tensor}
        encoder, writer = ModelDimensions.halves(shape)
        write = partial(
            decode_seconds,
            writer,
            system,
            calibrated.coefficients(decoding_stack(shape, chip), precision),
            batch=batch,
            tensor=tensor,
            weight_bytes=weights / 8,
            cache_bytes=cache / 8,
        )
        if shape.decoder_layers:
            read = encode_seconds(encoder, writer, system, fit, **requests)
            first = write(keys=input_length + 1)
            prefill = {name: read[name] + first[name] for name in read}
        else:
            prefill = prefill_seconds(
                writer,
                system,
                fit,
                flash_attention=int(shape.kind != "encoder"),
                predicted=float(shape.kind != "encoder"),
                **requests,
            )
        if output_length:
            decode = write(keys=input_length + output_length / 2)
    known = families()
    family, generating = _families(shape, chip)
    return InferenceEstimate(
        shape=shape,
        accelerator=chip,
        precision=precision,
        batch=batch,
        input_length=input_length,
        output_length=output_length,
        tensor=tensor,
        weight_bits=weights,
        prefill_terms={name: float(np.sum(term)) for name, term in prefill.items()},
        decode_terms={name: float(np.sum(term)) for name, term in decode.items()},
        memory_terms=inference_memory(
            shape,
            batch=batch,
            input_length=input_length,
            output_length=output_length,
            tensor=tensor,
            weight_bits=weights,
            cache_bits=cache,
            image_size=image_size,
            **allowances(chip),
        ),
        case=serving_case(
            shape, tensor, chip, precision, input_length + output_length or image_size
        ),
        prefill_family=known[family],
        decode_family=known[generating],
        memory_family=known["memory"],
    )


def _bits(name: str, given: int | None, own: int) -> int:
    if given is None:
        return own
    if given not in WEIGHT_BITS:
        raise InvalidValueError(
            f"{name} must be one of {', '.join(map(str, WEIGHT_BITS))}, not {given!r}.",
            "Give the bits one number is stored in.",
        )
    return min(given, own)


def _check_lengths(shape: Shape, input_length: int, output_length: int) -> None:
    if isinstance(shape, ConvolutionalShape):
        if input_length or output_length:
            raise InvalidValueError(
                "A convolutional network reads images, not tokens.",
                "Leave input_length and output_length at 0; give image_size.",
            )
        return
    require_whole("input_length", input_length, LONGEST_SEQUENCE)
    if output_length and shape.kind == "encoder":
        raise InvalidValueError(
            "An encoder generates no tokens.", "Use output_length=0, or a decoder."
        )
    if 0 < shape.max_positions < input_length + output_length:
        raise InvalidValueError(
            f"{input_length + output_length:,} tokens are more than the model's"
            f" {shape.max_positions:,} positions.",
            f"Keep input_length + output_length to {shape.max_positions:,}.",
        )


def _families(shape: Shape, chip: Accelerator) -> tuple[str, str]:
    stack, decoding = serving_stack(shape, chip), decoding_stack(shape, chip)
    if stack == "generation":
        return "prefill", "batched generation"
    if decoding != stack:
        return stack, decoding
    if stack == "Neuron":
        images = isinstance(shape, ConvolutionalShape)
        stack = "Neuron image inference" if images else "Neuron inference"
    return stack, stack
