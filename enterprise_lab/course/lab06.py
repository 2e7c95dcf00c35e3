"""The exercises of lab 06, fine-tuning BERT: references, random cases, common mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import harmonic_mean, mean, median

import numpy as np

from enterprise_lab.course.exercise import Case, Exercise, Mistake
from enterprise_lab.data.licences import family_of
from enterprise_lab.units import HOUR

_FP32_BYTES = 4
_MEGA = 10**6
_MIB = 2**20
_MIB_PER_GIB = 1024
_MINUTE = 60


def _pick(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


# 1. What leaks from training into the test

Keys = Sequence[str]
_KEYS = (
    "agpl-3.0", "apache-1.1", "apache-2.0", "bsd-new", "bsd-simplified", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "ecl-1.0", "ecl-2.0", "eclipse-sua-2001",
    "eclipse-sua-2011", "gpl-2.0", "gpl-2.0-plus", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "mit",
    "mit-0", "mpl-1.1", "mpl-2.0",
)  # fmt: skip


def _leaked_share(train: Keys, test: Keys) -> float:
    return len(_leaked(train, test)) / len(test)


def _leaked(train: Keys, test: Keys) -> list[str]:
    known = _families(train)
    return [key for key in test if family_of(key) in known]


def _families(keys: Keys) -> set[str]:
    return set(map(family_of, keys))


def _leaked_where(same: Callable[[str, str], bool]) -> Callable[..., float]:
    """Give a mistake its own idea of when two licences are of one family."""
    return lambda train, test: mean(any(same(one, other) for one in train) for other in test)


def _split_case(rng: np.random.Generator) -> Case:
    """Draw the licences of clauses; several clauses can come from one."""
    few = rng.choice(_KEYS, 12, replace=False)
    sides = [few[rng.integers(12, size=_pick(rng, 5, 9))] for _ in range(2)]
    train, test = (tuple(map(str, side)) for side in sides)
    return {"train": train, "test": test}


leaked_share = Exercise(
    "leaked_share",
    _leaked_share,
    _split_case,
    example={
        "train": ("gpl-2.0", "gpl-2.0", "mit", "cc-by-4.0", "eclipse-sua-2011"),
        "test": ("gpl-3.0", "gpl-3.0", "mit", "cc0-1.0", "ecl-2.0"),
    },
    mistakes=(
        Mistake(
            _leaked_where(lambda one, other: one == other),
            "Two versions of a licence have nearly the same clauses, though their keys differ.",
        ),
        *(
            Mistake(
                alike,
                "A name within another is another name: cc0 isn't cc, and lgpl isn't gpl.",
            )
            for alike in (
                _leaked_where(lambda one, other: family_of(other) in one),
                _leaked_where(lambda one, other: family_of(one) in other),
                _leaked_where(lambda one, other: one.startswith(family_of(other))),
                _leaked_where(lambda one, other: other.startswith(family_of(one))),
            )
        ),
        Mistake(
            _leaked_where(lambda one, other: one.rpartition("-")[0] == other.rpartition("-")[0]),
            "A family's name ends at the first hyphen; some keys have several, some none.",
        ),
        Mistake(
            lambda train, test: len(_families(train) & _families(test)) / len(_families(test)),
            "That is a share of families; the task asks for one of clauses.",
        ),
        Mistake(
            lambda train, test: _leaked_share(train, tuple(set(test))),
            "Several clauses can come from one licence, and each of them counts.",
        ),
        Mistake(
            lambda train, test: _leaked_share(test, train),
            "You have looked for training clauses in the test. Which side's score is made too good"
            " by a leak?",
        ),
        Mistake(
            lambda train, test: len(_leaked(train, test)) / (len(train) + len(test)),
            "It is the test that must be clean: of which clauses is the share?",
        ),
        Mistake(
            lambda train, test: len(_leaked(train, test)),
            "That is how many; the task asks for a share.",
        ),
        Mistake(
            lambda train, test: 1 - _leaked_share(train, test),
            "That is the share of the test that is clean.",
        ),
    ),
)


# 2. Macro-F1

Confusion = list[list[int]]
_PerClass = Callable[[int, int, int], float]


def _macro_f1(confusion: Confusion) -> float:
    return mean(_each_class(confusion, _f1))


def _each_class(confusion: Confusion, score: _PerClass) -> list[float]:
    """Score each class by how often it was right, is true, was guessed."""
    guessed = [sum(column) for column in zip(*confusion, strict=True)]
    return [score(row[c], sum(row), guessed[c]) for c, row in enumerate(confusion)]


def _f1(right: int, true: int, guessed: int) -> float:
    return 2 * right / (true + guessed)


def _recall(right: int, true: int, guessed: int) -> float:  # noqa: ARG001
    return right / true


def _precision(right: int, true: int, guessed: int) -> float:  # noqa: ARG001
    return right / guessed if guessed else 0.0


def _accuracy(confusion: Confusion) -> float:
    return sum(row[c] for c, row in enumerate(confusion)) / sum(map(sum, confusion))


def _weighted_f1(confusion: Confusion) -> float:
    sizes = [sum(row) for row in confusion]
    return sum(np.multiply(sizes, _each_class(confusion, _f1))) / sum(sizes)


def _f1_of_means(confusion: Confusion) -> float:
    means = [mean(_each_class(confusion, score)) for score in (_precision, _recall)]
    return harmonic_mean(means)


def _f1_where_guessed(confusion: Confusion) -> float:
    guessed = _each_class(confusion, lambda right, true, guessed: guessed)  # noqa: ARG005
    scores = _each_class(confusion, _f1)
    return mean(score for score, times in zip(scores, guessed, strict=True) if times)


def _confusion_case(rng: np.random.Generator) -> Case:
    """Draw a matrix of unequal classes; in half of them the rarest is never guessed."""
    classes = _pick(rng, 3, 5)
    sizes = sorted((_pick(rng, 5, 20) * 2**c for c in range(classes)), reverse=True)
    guesses = np.full((classes, classes), 1.0) + np.eye(classes) * _pick(rng, 3, 20)
    if rng.integers(2):
        guesses[:, -1] = 0
    shares = guesses / guesses.sum(axis=1, keepdims=True)
    rows = [rng.multinomial(size, share) for size, share in zip(sizes, shares, strict=True)]
    return {"confusion": [row.tolist() for row in rows]}


macro_f1 = Exercise(
    "macro_f1",
    _macro_f1,
    _confusion_case,
    example={"confusion": [[6, 2, 0], [1, 3, 0], [1, 1, 0]]},
    mistakes=(
        Mistake(
            _accuracy,
            "That is accuracy: every text weighs the same. In macro-F1 every class does.",
        ),
        Mistake(
            _weighted_f1,
            "You have weighted the classes by their texts. Then the rare ones, for which you took"
            " this metric, hardly count.",
        ),
        Mistake(
            lambda confusion: mean(_each_class(confusion, _recall)),
            "That is recall. What of the texts that were wrongly taken for this class?",
        ),
        Mistake(
            lambda confusion: mean(_each_class(confusion, _precision)),
            "That is precision. What of this class's texts that weren't found?",
        ),
        Mistake(
            _f1_of_means,
            "First the F1 of each class, then their mean; the other way round is another figure.",
        ),
        Mistake(
            lambda confusion: mean(
                mean(_each_class(confusion, score)) for score in (_precision, _recall)
            ),
            "F1 is the harmonic mean of precision and recall, not the plain one.",
        ),
        Mistake(
            _f1_where_guessed,
            "A class that was never guessed is a class too, and the model's worst.",
        ),
        Mistake(
            lambda confusion: mean(
                _each_class(
                    confusion, lambda right, true, guessed: right / (true + guessed - right)
                )
            ),
            "That is the overlap of true and guessed (Jaccard's index). In F1 those that are right"
            " count twice: once among the true, once among the guessed.",
        ),
        Mistake(
            lambda confusion: sum(_each_class(confusion, _f1)),
            "You have the sum over the classes; their mean is asked for.",
        ),
        Mistake(
            lambda confusion: 100 * _macro_f1(confusion),
            "These are percents; the task asks for a figure between 0 and 1.",
        ),
    ),
)


# 3. FLOPs by method

_FLOPS_PER_WEIGHT_AND_TOKEN = {"full": 6, "head": 2, "lora": 4}


def _fine_tuning_flops(
    encoder_parameters: int,
    texts: int,
    mean_length: int,
    padded_length: int,
    epochs: int,
    method: str,
) -> int:
    del mean_length  # padding is multiplied with the weights as words are
    tokens = texts * padded_length * epochs
    return _FLOPS_PER_WEIGHT_AND_TOKEN[method] * encoder_parameters * tokens


def _flops_counting(full: int, head: int, lora: int) -> Callable[..., float]:
    """Give a mistake its own FLOPs a weight and token for each method."""
    mine = {"full": full, "head": head, "lora": lora}

    def answer(method: str, **case: int) -> float:
        return mine[method] * _fine_tuning_flops(method="head", **case) / 2

    return answer


fine_tuning_flops = Exercise(
    "fine_tuning_flops",
    _fine_tuning_flops,
    lambda rng: {
        "encoder_parameters": 1_000_000 * _pick(rng, 10, 300),
        "texts": _pick(rng, 500, 20_000),
        "mean_length": _pick(rng, 40, 100),
        "padded_length": 8 * _pick(rng, 14, 64),
        "epochs": _pick(rng, 2, 10),
        "method": str(rng.choice(["full", "head", "lora"])),
    },
    example={
        "encoder_parameters": 1000, "texts": 10, "mean_length": 6, "padded_length": 8, "epochs": 2,
        "method": "full",
    },
    mistakes=(
        Mistake(
            lambda **case: _fine_tuning_flops(**case) / 2,
            "A multiply-add is two operations: one multiplication and one addition.",
        ),
        Mistake(
            _flops_counting(2, 2, 2),
            "That is the forward pass alone. Which of the methods also run backward through the"
            " encoder?",
        ),
        Mistake(
            _flops_counting(6, 6, 6),
            "What is frozen saves work: a weight that isn't trained needs no gradient of its own.",
        ),
        Mistake(
            _flops_counting(6, 2, 2),
            "LoRA's adapters sit in every layer. How does the error get from the head down to those"
            " of the first?",
        ),
        Mistake(
            _flops_counting(6, 2, 6),
            "With LoRA the error passes backward through frozen weights: which of backward's two"
            " products does nobody need?",
        ),
        *(
            Mistake(
                backward,
                "With a frozen encoder only the head on top of it learns. How far down does the"
                " error have to travel?",
            )
            for backward in (_flops_counting(6, 4, 4), _flops_counting(6, 6, 4))
        ),
        Mistake(
            _flops_counting(4, 2, 4),
            "Where all weights are trained, backward makes two products for each one forward:"
            " which two gradients are they?",
        ),
        Mistake(
            lambda **case: _fine_tuning_flops(**case | {"padded_length": case["mean_length"]}),
            "The chip can't tell padding from words: how many tokens does it multiply?",
        ),
        Mistake(
            lambda **case: _fine_tuning_flops(**case | {"epochs": 1}),
            "How many times does training see the texts?",
        ),
        Mistake(
            lambda **case: _fine_tuning_flops(**case) / case["padded_length"],
            "Count the tokens: a text has more than one.",
        ),
    ),
)  # fmt: skip


# 4. The share of padding

Lengths = Sequence[int]
Batches = list[Lengths]


def _padding_share(lengths: Lengths, batch: int, multiple: int, bucketed: bool) -> float:
    return _share_of_padding(_batches(lengths, batch, bucketed), multiple)


def _batches(lengths: Lengths, batch: int, bucketed: bool) -> Batches:
    ordered = sorted(lengths, reverse=True) if bucketed else lengths
    return [ordered[start : start + batch] for start in range(0, len(ordered), batch)]


def _share_of_padding(batches: Batches, multiple: int) -> float:
    processed = sum(len(texts) * _round_up(max(texts), multiple) for texts in batches)
    return 1 - sum(map(sum, batches)) / processed


def _round_up(length: int, multiple: int) -> int:
    return math.ceil(length / multiple) * multiple


def _padded(share: Callable[[Batches, int], float]) -> Callable[..., float]:
    """Give a mistake the right batches."""
    return lambda lengths, batch, multiple, bucketed: share(
        _batches(lengths, batch, bucketed), multiple
    )


def _padded_to(width: Callable[[int, int], int]) -> Callable[..., float]:
    """Give a mistake the longest of each batch, and the multiple."""

    def share(batches: Batches, multiple: int) -> float:
        processed = sum(len(texts) * width(max(texts), multiple) for texts in batches)
        return 1 - sum(map(sum, batches)) / processed

    return _padded(share)


def _padding_case(rng: np.random.Generator) -> Case:
    """Draw many short texts and a few long ones; some lengths need no rounding."""
    multiple, batch = 8 * 2 ** _pick(rng, 0, 2), _pick(rng, 3, 5)
    texts = batch * _pick(rng, 2, 4) + _pick(rng, 1, batch - 1)
    lengths = [min(512, 5 + int(rng.lognormal(4, 0.8))) for _ in range(texts)]
    for place in rng.choice(texts, texts // 2, replace=False):
        lengths[place] = _round_up(lengths[place], multiple)
    return {
        "lengths": tuple(lengths),
        "batch": batch,
        "multiple": multiple,
        "bucketed": bool(rng.integers(2)),
    }


padding_share = Exercise(
    "padding_share",
    _padding_share,
    _padding_case,
    example={"lengths": (10, 60, 12, 50, 14), "batch": 2, "multiple": 8, "bucketed": False},
    mistakes=(
        Mistake(
            lambda lengths, batch, multiple, bucketed: _share_of_padding(  # noqa: ARG005
                [lengths], multiple
            ),
            "A batch is padded to its own longest text, not to the longest of all.",
        ),
        Mistake(
            _padded_to(lambda longest, _: longest),
            "The longest text of a batch is padded too: up to what?",
        ),
        Mistake(
            _padded_to(lambda longest, multiple: (longest // multiple + 1) * multiple),
            "A length that already is a multiple needs no rounding.",
        ),
        Mistake(
            _padded_to(lambda longest, multiple: max(1, longest // multiple) * multiple),
            "Rounded down, the batch's longest text would lose its end.",
        ),
        Mistake(
            lambda **case: _padding_share(**case | {"batch": 1}),
            "The texts of a batch form one table: each row is as long as the longest of them.",
        ),
        Mistake(
            lambda **case: _padding_share(**case | {"bucketed": False}),
            "Bucketed, the texts are sorted before they are cut into batches.",
        ),
        Mistake(
            lambda **case: _padding_share(**case | {"bucketed": True}),
            "Texts that aren't bucketed stay in the order in which they are given.",
        ),
        Mistake(
            lambda lengths, batch, multiple, bucketed: _padding_share(
                sorted(lengths) if bucketed else lengths, batch, multiple, bucketed=False
            ),
            "Sort the longest first; then the batch that isn't full has the shortest texts.",
        ),
        Mistake(
            _padded(
                lambda batches, multiple: _share_of_padding(
                    [texts for texts in batches if len(texts) == len(batches[0])], multiple
                )
            ),
            "The last batch counts also when it isn't full.",
        ),
        Mistake(
            _padded(
                lambda batches, multiple: (
                    1
                    - sum(map(sum, batches))
                    / sum(len(batches[0]) * _round_up(max(texts), multiple) for texts in batches)
                )
            ),
            "The last batch may be smaller: no rows are made up to fill it.",
        ),
        Mistake(
            _padded(
                lambda batches, multiple: mean(
                    _share_of_padding([texts], multiple) for texts in batches
                )
            ),
            "Batches differ in size: add up their tokens first, then take the share once.",
        ),
        Mistake(
            lambda **case: 1 - _padding_share(**case),
            "That is the share of the tokens that are read from texts; the task asks for the rest.",
        ),
        Mistake(
            lambda **case: (share := _padding_share(**case)) / (1 - share),
            "A share is of the whole: of all tokens processed, padding included.",
        ),
        Mistake(
            lambda **case: 100 * _padding_share(**case),
            "These are percents; the task asks for a share between 0 and 1.",
        ),
    ),
)


# 5. What many fine-tunings store


def _stored_megabytes(
    tasks: int,
    encoder_parameters: int,
    layers: int,
    hidden: int,
    rank: int,
    adapted: int,
    classes: int,
) -> float:
    adapters = layers * adapted * 2 * rank * hidden
    return _megabytes(encoder_parameters + tasks * (adapters + _head(hidden, classes)))


def _head(hidden: int, classes: int) -> int:
    return hidden * classes + classes


def _megabytes(numbers: float) -> float:
    return numbers * _FP32_BYTES / _MEGA


def _without(numbers: Callable[..., float]) -> Callable[..., float]:
    """Give a mistake the figure less some numbers."""
    return lambda **case: _stored_megabytes(**case) - _megabytes(numbers(**case))


def _adapters(tasks: int, layers: int, hidden: int, rank: int, adapted: int, **_: int) -> int:
    return tasks * layers * adapted * 2 * rank * hidden


stored_megabytes = Exercise(
    "stored_megabytes",
    _stored_megabytes,
    lambda rng: {
        "tasks": _pick(rng, 20, 1000),
        "encoder_parameters": 1_000_000 * _pick(rng, 10, 110),
        "layers": _pick(rng, 4, 24),
        "hidden": 64 * _pick(rng, 4, 16),
        "rank": 2 ** _pick(rng, 1, 6),
        "adapted": _pick(rng, 2, 4),
        "classes": _pick(rng, 5, 100),
    },
    example={
        "tasks": 10, "encoder_parameters": 1_000_000, "layers": 2, "hidden": 100, "rank": 5,
        "adapted": 2, "classes": 4,
    },
    mistakes=(
        Mistake(
            _without(lambda tasks, encoder_parameters, **_: (1 - tasks) * encoder_parameters),
            "That is an encoder for every task. Which weights do all tasks share?",
        ),
        Mistake(
            _without(lambda encoder_parameters, **_: encoder_parameters),
            "Adapters are no model by themselves: what do they sit in?",
        ),
        Mistake(
            _without(lambda **case: _adapters(**case) / 2),
            "An adapter is a product of two thin matrices: one down to the rank, one up again.",
        ),
        Mistake(
            _without(lambda **case: _adapters(**case) - _adapters(**case | {"adapted": 1})),
            "How many projections of a layer have an adapter?",
        ),
        Mistake(
            _without(lambda **case: _adapters(**case) - _adapters(**case | {"layers": 1})),
            "Every layer has adapters; you have counted one.",
        ),
        Mistake(
            _without(
                lambda **case: _adapters(**case) - _adapters(**case | {"rank": case["hidden"] / 2})
            ),
            "A matrix as large as the projection is what LoRA avoids: how wide is it inside?",
        ),
        Mistake(
            _without(lambda tasks, hidden, classes, **_: tasks * _head(hidden, classes)),
            "Each task has classes of its own: what turns the encoder's output into them?",
        ),
        Mistake(
            _without(lambda tasks, classes, **_: tasks * classes),
            "The head is a linear layer; what does it add after the product?",
        ),
        Mistake(
            lambda **case: _stored_megabytes(**case | {"tasks": 1}),
            "That is one task; how many are there?",
        ),
        Mistake(
            lambda **case: _stored_megabytes(**case) * _MEGA / _MIB,
            "These are mebibytes; a megabyte is 10**6 bytes.",
        ),
        Mistake(
            lambda **case: _stored_megabytes(**case) / 2,
            "How many bytes has a number of 32 bits?",
        ),
        Mistake(
            lambda **case: _stored_megabytes(**case) / _FP32_BYTES,
            "These are millions of numbers; the task asks for megabytes.",
        ),
        Mistake(
            lambda **case: _stored_megabytes(**case) * _MEGA,
            "These are bytes; the task asks for megabytes.",
        ),
    ),
)  # fmt: skip


# 6. A gain that doesn't go away

Scores = Sequence[float]
_ONE_IN = 40
"""A 95 % interval leaves one draw in forty beyond each of its ends."""


def _sure_gain(new_scores: Scores, old_scores: Scores) -> float:
    return _lower_end(_gains(new_scores, old_scores))


def _gains(new_scores: Scores, old_scores: Scores) -> list[float]:
    return [new - old for new, old in zip(new_scores, old_scores, strict=True)]


def _lower_end(draws: Scores) -> float:
    return sorted(draws)[len(draws) // _ONE_IN]


def _upper_end(draws: Scores) -> float:
    return sorted(draws)[-1 - len(draws) // _ONE_IN]


def _of_gains(figure: Callable[[list[float]], float]) -> Callable[..., float]:
    """Give a mistake the gains from the smallest to the largest."""
    return lambda new_scores, old_scores: figure(sorted(_gains(new_scores, old_scores)))


def _scores_case(rng: np.random.Generator) -> Case:
    """Draw scores that rise and fall together: both models meet the same texts."""
    draws = _ONE_IN * _pick(rng, 1, 2)
    old = 0.7 + rng.normal(0, 0.03, draws)
    new = old + rng.normal(rng.uniform(0, 0.04), 0.01, draws)
    scores = (tuple(round(score, 3) for score in side.tolist()) for side in (new, old))
    return dict(zip(("new_scores", "old_scores"), scores, strict=True))


sure_gain = Exercise(
    "sure_gain",
    _sure_gain,
    _scores_case,
    example={
        "new_scores": tuple(round(0.41 + draw / 100, 2) for draw in range(40)),
        "old_scores": (0.4,) * 40,
    },
    mistakes=(
        Mistake(
            lambda new_scores, old_scores: _lower_end(new_scores) - _upper_end(old_scores),
            "Each score's own interval is wide because the texts differ; both models met the same"
            " texts. What does a pair of scores tell you?",
        ),
        Mistake(
            lambda new_scores, old_scores: _lower_end(new_scores) - _lower_end(old_scores),
            "The unluckiest draw of the one model need not be that of the other: first compare"
            " within a draw, then sort.",
        ),
        Mistake(
            _of_gains(mean),
            "That is the gain on average. How small could it be?",
        ),
        Mistake(
            _of_gains(median),
            "That is the gain in the middle. How small could it be?",
        ),
        Mistake(
            _of_gains(min),
            "The very worst draw is one of a kind: the interval leaves some draws below its end.",
        ),
        Mistake(
            _of_gains(lambda gains: gains[len(gains) * 2 // _ONE_IN]),
            "An interval has two ends, and what it leaves out is shared between them.",
        ),
        Mistake(
            _of_gains(_upper_end),
            "That is the upper end. Which end does a careful buyer look at?",
        ),
        Mistake(
            _of_gains(lambda gains: gains[len(gains) // _ONE_IN - 1]),
            "Count again which draws fall away, and which is the first that stays. Python counts"
            " from zero.",
        ),
        Mistake(
            _of_gains(lambda gains: float(np.quantile(gains, 1 / _ONE_IN))),
            "A quantile between two draws is also in use; here the end is the smallest draw that"
            " isn't left out.",
        ),
        *(
            Mistake(turned, "Turned round: a gain is positive where the new model is better.")
            for turned in (
                lambda new_scores, old_scores: _sure_gain(old_scores, new_scores),
                lambda new_scores, old_scores: -_sure_gain(new_scores, old_scores),
            )
        ),
    ),
)


# 7. Gradient accumulation


def _accumulation_steps(
    batch: int, fixed_mib: int, mib_per_text: int, memory_gib: int
) -> int | None:
    return _fewest_steps(batch, _room(fixed_mib, mib_per_text, memory_gib))


def _room(fixed_mib: int, mib_per_text: int, memory_gib: int) -> int:
    """Return how many texts fit beside what is there anyway."""
    return (memory_gib * _MIB_PER_GIB - fixed_mib) // mib_per_text


def _fewest_steps(batch: int, room: int) -> int | None:
    return next(
        (steps for steps in range(1, batch + 1) if batch % steps == 0 and batch // steps <= room),
        None,
    )


def _with_room(steps: Callable[[int, int], float | None]) -> Callable[..., float | None]:
    """Give a mistake the batch and how many texts fit; it is right where none does."""

    def answer(batch: int, **case: int) -> float | None:
        room = _room(**case)
        return steps(batch, room) if room > 0 else None

    return answer


def _where_none_fits(instead: Callable[[int], int]) -> Callable[..., int]:
    def answer(batch: int, **case: int) -> int:
        steps = _accumulation_steps(batch, **case)
        return instead(batch) if steps is None else steps

    return answer


def _memory_case(rng: np.random.Generator) -> Case:
    """Draw a memory that is filled by texts that don't share out the batch, that do, or by none."""
    batch, mib_per_text = 12 * _pick(rng, 2, 16), _pick(rng, 20, 400)
    rooms = np.arange(1, batch + 1)
    awkward = rooms[batch % -(-batch // rooms) > 0]
    room, spare = {
        "awkward": (int(rng.choice(awkward)), _pick(rng, 0, mib_per_text - 1)),
        "exact": (int(rng.choice(rooms[batch % rooms == 0])), 0),
        "none": (0, mib_per_text - 1),
    }[str(rng.choice(["awkward", "exact", "none"]))]
    used = room * mib_per_text + spare
    memory_gib = used // _MIB_PER_GIB + _pick(rng, 4, 40)
    return {
        "batch": batch,
        "fixed_mib": memory_gib * _MIB_PER_GIB - used,
        "mib_per_text": mib_per_text,
        "memory_gib": memory_gib,
    }


accumulation_steps = Exercise(
    "accumulation_steps",
    _accumulation_steps,
    _memory_case,
    example={"batch": 48, "fixed_mib": 1248, "mib_per_text": 100, "memory_gib": 2},
    mistakes=(
        Mistake(
            _with_room(lambda batch, room: math.ceil(batch / room)),
            "Can the batch be cut into that many micro-batches of the same size?",
        ),
        *(
            Mistake(
                not_whole,
                "All texts of the batch have to be used: do your micro-batches add up to it?",
            )
            for not_whole in (
                _with_room(lambda batch, room: max(1, batch // room)),
                _with_room(lambda batch, room: batch / min(batch, room)),
            )
        ),
        Mistake(
            _with_room(lambda batch, room: batch // (_fewest_steps(batch, room) or 1)),
            "That is the size of a micro-batch; the task asks how many of them make a step.",
        ),
        Mistake(
            _with_room(lambda batch, _: batch),
            "One text at a time always fits, where any does; can you do with fewer steps?",
        ),
        Mistake(
            lambda **case: _accumulation_steps(**case | {"fixed_mib": 0}),
            "Weights, gradients and the optimiser's states take their memory first.",
        ),
        *(
            Mistake(
                none_fits,
                "Sometimes not even one text fits. What does the task ask for then?",
            )
            for none_fits in (
                _where_none_fits(lambda batch: batch),
                _where_none_fits(lambda _: 0),
                _where_none_fits(lambda _: 1),
            )
        ),
        Mistake(
            lambda **case: _accumulation_steps(**case | {"fixed_mib": case["fixed_mib"] + 1}),
            "Memory that is just enough is enough.",
        ),
        Mistake(
            lambda batch, fixed_mib, mib_per_text, memory_gib: _fewest_steps(
                batch, (1000 * memory_gib - fixed_mib) // mib_per_text
            ),
            "A GiB is 1,024 MiB.",
        ),
    ),
)


# 8. A spot instance


def _spot_usd(
    work_hours: float,
    usd_per_hour: float,
    hours_between_interruptions: float,
    checkpoint_minutes: float,
    checkpoint_seconds: float,
    restart_minutes: float,
) -> float:
    checkpoints = work_hours * _MINUTE / checkpoint_minutes
    undisturbed = work_hours + checkpoints * checkpoint_seconds / HOUR
    interruptions = undisturbed / hours_between_interruptions
    lost = (checkpoint_minutes / 2 + restart_minutes) / _MINUTE
    return (undisturbed + interruptions * lost) * usd_per_hour


def _spot_extra(minutes: Callable[[float, float], float]) -> Callable[..., float]:
    """Give a mistake the minutes between checkpoints and of a restart, for one interruption."""

    def answer(checkpoint_minutes: float, restart_minutes: float, **case: float) -> float:
        calm = {"hours_between_interruptions": math.inf, "restart_minutes": 0.0}
        undisturbed = _spot_usd(checkpoint_minutes=checkpoint_minutes, **case | calm)
        interruptions = undisturbed / case["usd_per_hour"] / case["hours_between_interruptions"]
        lost = minutes(checkpoint_minutes, restart_minutes) / _MINUTE
        return undisturbed + interruptions * lost * case["usd_per_hour"]

    return answer


def _interrupted_once(**case: float) -> float:
    undisturbed = _spot_usd(**case | {"hours_between_interruptions": math.inf})
    lost = (case["checkpoint_minutes"] / 2 + case["restart_minutes"]) / _MINUTE
    return undisturbed + lost * case["usd_per_hour"]


def _interrupted_at_work_only(checkpoint_seconds: float, **case: float) -> float:
    without = _spot_usd(checkpoint_seconds=0.0, **case)
    calm = {"hours_between_interruptions": math.inf, "checkpoint_seconds": checkpoint_seconds}
    return without + _spot_usd(**case | calm) - case["work_hours"] * case["usd_per_hour"]


def _checkpointed_once(work_hours: float, checkpoint_minutes: float, **case: float) -> float:
    spread = case["checkpoint_seconds"] / (work_hours * _MINUTE) * checkpoint_minutes
    return _spot_usd(
        work_hours=work_hours, checkpoint_minutes=checkpoint_minutes,
        **case | {"checkpoint_seconds": spread},
    )  # fmt: skip


spot_usd = Exercise(
    "spot_usd",
    _spot_usd,
    lambda rng: {
        "work_hours": float(_pick(rng, 5, 100)),
        "usd_per_hour": _pick(rng, 20, 3000) / 100,
        "hours_between_interruptions": float(_pick(rng, 2, 24)),
        "checkpoint_minutes": float(_pick(rng, 5, 60)),
        "checkpoint_seconds": float(_pick(rng, 5, 120)),
        "restart_minutes": float(_pick(rng, 2, 20)),
    },
    example={
        "work_hours": 10.0, "usd_per_hour": 2.0, "hours_between_interruptions": 5.0,
        "checkpoint_minutes": 30.0, "checkpoint_seconds": 90.0, "restart_minutes": 9.0,
    },
    mistakes=(
        Mistake(
            lambda **case: _spot_usd(**case | {"hours_between_interruptions": math.inf}),
            "That is a run that nobody interrupts.",
        ),
        Mistake(
            lambda **case: _spot_usd(**case | {"checkpoint_seconds": 0.0}),
            "Writing checkpoints takes time as well, and the machine is paid for meanwhile.",
        ),
        Mistake(
            _spot_extra(lambda _, restart: restart),
            "What was worked since the last checkpoint is lost and has to be done again.",
        ),
        Mistake(
            _spot_extra(lambda interval, restart: interval + restart),
            "Sometimes a checkpoint has just been written, sometimes it was about to be. How much"
            " is lost on average?",
        ),
        Mistake(
            _spot_extra(lambda interval, _: interval / 2),
            "After an interruption a new machine has to start, and its start is paid for.",
        ),
        Mistake(
            _spot_extra(lambda interval, restart: (interval + restart) / 2),
            "Only the lost work is half on average; a restart takes its whole time.",
        ),
        Mistake(
            _interrupted_once,
            "How many interruptions does a run of this length meet?",
        ),
        Mistake(
            _checkpointed_once,
            "How many checkpoints are written during the run?",
        ),
        Mistake(
            _interrupted_at_work_only,
            "A machine can also be taken away while it writes a checkpoint: which hours are"
            " exposed to interruptions?",
        ),
        Mistake(
            _spot_extra(lambda interval, restart: _MINUTE * (interval / 2 + restart)),
            "The interval and the restart are in minutes, the price is for an hour.",
        ),
        Mistake(
            lambda **case: _spot_usd(
                **case | {"checkpoint_seconds": _MINUTE * case["checkpoint_seconds"]}
            ),
            "Writing a checkpoint takes seconds, not minutes: how many of them has an hour?",
        ),
        Mistake(
            lambda **case: _spot_usd(**case) / case["usd_per_hour"],
            "These are hours; the task asks for dollars.",
        ),
    ),
)  # fmt: skip
