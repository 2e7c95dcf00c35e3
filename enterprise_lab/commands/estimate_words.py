"""What the estimator calls its arguments, as options of the command line."""

from __future__ import annotations

import re

_RENAMED = {"global_batch": "batch"}
ARGUMENTS = (
    "accelerator", "base_bits", "batch", "cache_bits", "causal", "context",
    "context_parallel", "data", "devices", "flash_attention", "global_batch", "image_size",
    "input_length", "interleave", "memory_share", "micro_batch", "offload", "optimizer",
    "output_length", "pipeline", "precision", "predicted_share", "rank", "recompute",
    "samples_per_second", "sequence_length", "sequence_parallel", "targets", "tensor", "tokens",
    "trainable", "usd_per_device_hour", "weight_bits", "zero",
)  # fmt: skip
_WORDS = "|".join(sorted(ARGUMENTS, key=len, reverse=True))
_SPECIAL = (("every_steps", "--checkpoint-every"), ("bytes_per_second", "--checkpoint-rate"))


def option(name: str) -> str:
    """Return the option that gives an argument: `global_batch` is `--batch`."""
    return f"--{_RENAMED.get(name, name).replace('_', '-')}"


def with_options(sentence: str) -> str:
    """Write a sentence about arguments of Python's functions as one about options.

    Names that are words of English too are arguments only where a value is given or asked for.
    """
    for name, mine in _SPECIAL:
        sentence = re.sub(rf"\b{name}\b", mine, sentence)
    sentence = re.sub(rf"\b({_WORDS})=('?)(\w+(?:\.\w+)?)\2", _given, sentence)
    sentence = re.sub(rf"(?<!-)\b({_WORDS})(?= must be\b)", _named, sentence)
    sentence = re.sub(rf"(?<=Give )({_WORDS})(?= (?:a|such a value|within)\b)", _named, sentence)
    return re.sub(rf"(?<![-\w])({_WORDS})\b(?!-)", _if_no_word, sentence)


def _given(found: re.Match[str]) -> str:
    name, _, value = found.groups()
    if value == "False":
        return f"--no{option(name)[1:]}" if name == "flash_attention" else f"no {option(name)}"
    return option(name) if value == "True" else f"{option(name)} {value}"


def _named(found: re.Match[str]) -> str:
    return option(found[1])


def _if_no_word(found: re.Match[str]) -> str:
    return option(found[1]) if "_" in found[1] else found[1]
