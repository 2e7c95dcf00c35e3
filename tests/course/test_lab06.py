"""Lab 06's checks: right answers pass, each common mistake fails and is pointed at.

The wrong answers are written as a student would write them, from scratch.
"""

import math
import re

import numpy as np
import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.course import CheckError, lab06
from enterprise_lab.evaluation import metrics


def flops(encoder_parameters, texts, padded_length, epochs, method, **_):
    forward = 2 * encoder_parameters * texts * padded_length * epochs
    if method == "head":
        return forward
    return 2 * forward if method == "lora" else 3 * forward


def cut(lengths, batch):
    return [lengths[start : start + batch] for start in range(0, len(lengths), batch)]


def padding(lengths, batch, multiple, bucketed):
    lengths = sorted(lengths)[::-1] if bucketed else lengths
    processed = 0
    for some in cut(lengths, batch):
        width = max(some)
        while width % multiple:
            width += 1
        processed += width * len(some)
    return (processed - sum(lengths)) / processed


def leaked(train, test):
    seen = [key.split("-")[0] for key in train]
    return sum(key.split("-")[0] in seen for key in test) / len(test)


def macro_f1(confusion):
    scores = []
    for c in range(len(confusion)):
        right = confusion[c][c]
        if right == 0:
            scores.append(0)
            continue
        recall = right / sum(confusion[c])
        precision = right / sum(row[c] for row in confusion)
        scores.append(2 * precision * recall / (precision + recall))
    return sum(scores) / len(scores)


def stored(tasks, encoder_parameters, layers, hidden, rank, adapted, classes):
    adapters = layers * adapted * (hidden * rank + rank * hidden)
    return 4e-6 * (encoder_parameters + tasks * (adapters + (hidden + 1) * classes))


def spot(
    work_hours,
    usd_per_hour,
    hours_between_interruptions,
    checkpoint_minutes,
    checkpoint_seconds,
    restart_minutes,
):
    hours = work_hours * (1 + checkpoint_seconds / 60 / checkpoint_minutes)
    again = (checkpoint_minutes / 2 + restart_minutes) / 60
    return usd_per_hour * hours * (1 + again / hours_between_interruptions)


def steps(batch, fixed_mib, mib_per_text, memory_gib):
    for micro in range(batch, 0, -1):
        if batch % micro == 0 and fixed_mib + micro * mib_per_text <= 1024 * memory_gib:
            return batch // micro
    return None


def sure(new_scores, old_scores):
    gains = np.sort(np.subtract(new_scores, old_scores))
    return gains[round(0.025 * len(gains))]


RIGHT = [
    (lab06.fine_tuning_flops, flops),
    (lab06.padding_share, padding),
    (lab06.leaked_share, leaked),
    (lab06.macro_f1, macro_f1),
    (lab06.stored_megabytes, stored),
    (lab06.spot_usd, spot),
    (lab06.accumulation_steps, steps),
    (lab06.sure_gain, sure),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer, capsys):
    for _ in range(5):
        check(answer)
    assert "✓" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("check", "by_hand"),
    [
        (lab06.fine_tuning_flops, 960_000),  # 6 x 1,000 weights x 160 tokens
        (lab06.padding_share, 110 / 256),  # 2 x 64 + 2 x 56 + 16 tokens, 146 of them words
        (lab06.leaked_share, 3 / 5),  # both of gpl-3.0, and mit
        (lab06.macro_f1, (0.75 + 0.6 + 0) / 3),
        (lab06.stored_megabytes, 4.17616),  # 1,000,000 + 10 x (4,000 + 404) numbers
        (lab06.spot_usd, 22.68),  # 10.5 h, and 2.1 times 24 min
        (lab06.accumulation_steps, 6),  # 800 MiB are left: 8 texts
        (lab06.sure_gain, 0.02),  # the smallest of 40 gains, 0.01, falls away
    ],
)
def test_worked_examples_are_what_a_person_finds(check, by_hand):
    assert check.reference(**check.example) == pytest.approx(by_hand)


# The references against what the package, or another library, says


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "bert-base-uncased", "bert-large-uncased"])
@pytest.mark.parametrize(
    ("method", "trainable"),
    [("full", "all"), ("head", "head"), ("lora", estimate.LowRank(rank=8))],
)
def test_flops_are_the_estimators_but_for_scores_and_adapters(name, method, trainable):
    shape = catalog.model(name).shape
    counted = estimate.training_flops(
        shape, sequence_length=128, predicted_share=0.0, trainable=trainable
    )
    parts = shape.parameter_terms
    mine = lab06.fine_tuning_flops.reference(
        parts["attention"] + parts["mlp"] + parts["norms"], 1, 60, 128, 1, method
    )
    assert mine == pytest.approx(sum(counted.values()), rel=0.08)


def test_padding_to_one_length_is_the_estimators():
    lengths = [8, 24, 56, 128]
    shape = catalog.model("all-MiniLM-L6-v2").shape
    batch = estimate.padded_flops(shape, lengths, predicted_share=0.0)
    mine = lab06.padding_share.reference(tuple(lengths), 4, 8, bucketed=False)
    assert 1 - mine == pytest.approx(batch.useful_share, rel=0.02)


def test_macro_f1_is_scikit_learns_and_the_packages():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    for _ in range(10):
        rows = np.array(lab06.macro_f1.case(rng)["confusion"])
        true, guessed = (np.repeat(index.ravel(), rows.ravel()) for index in np.indices(rows.shape))
        theirs = f1_score(true, guessed, average="macro", zero_division=0)
        mine = lab06.macro_f1.reference(rows.tolist())
        assert mine == pytest.approx(theirs)
        assert mine == pytest.approx(metrics.macro_f1(true, guessed))


def test_adapters_are_as_many_as_the_estimator_says():
    shape = catalog.model("bert-base-uncased").shape
    for targets in (("query", "value"), ("query", "key", "value", "output")):
        adapters = estimate.LowRank(rank=16, targets=targets).parameters(shape)
        mine = lab06.stored_megabytes.reference(
            1, 0, shape.layers, shape.hidden, 16, len(targets), classes=0
        )
        assert mine == pytest.approx(4e-6 * adapters)


def test_a_spot_run_costs_about_what_a_simulation_does():
    """The simulation also interrupts what is done again, which the formula leaves out."""
    rng = np.random.default_rng(0)
    case = {
        "work_hours": 20.0,
        "usd_per_hour": 1.0,
        "hours_between_interruptions": 10.0,
        "checkpoint_minutes": 30.0,
        "checkpoint_seconds": 60.0,
        "restart_minutes": 6.0,
    }
    runs = [simulated_hours(rng) for _ in range(2000)]
    assert lab06.spot_usd.reference(**case) == pytest.approx(np.mean(runs), rel=0.01)


def simulated_hours(rng):
    hours, segments = 0.0, 40
    segment = 0.5 + 1 / 60
    until = rng.exponential(10)
    while segments:
        if until > segment:
            hours, until, segments = hours + segment, until - segment, segments - 1
        else:
            hours, until = hours + until + 0.1, rng.exponential(10)
    return hours


def test_the_sure_gain_is_numpys_quantile():
    case = lab06.sure_gain.case(np.random.default_rng(0))
    gains = np.subtract(case["new_scores"], case["old_scores"])
    theirs = np.quantile(gains, 0.025, method="inverted_cdf")
    following = min(gains[gains > theirs])
    assert lab06.sure_gain.reference(**case) in (pytest.approx(theirs), pytest.approx(following))


# Wrong answers: (check, the mistake, words its message must have)


def by_method(full, head, lora):
    def wrong(encoder_parameters, texts, padded_length, epochs, method, **_):
        factor = {"full": full, "head": head, "lora": lora}[method]
        return factor * encoder_parameters * texts * padded_length * epochs

    return wrong


def words_only(**c):
    return flops(**c | {"padded_length": c["mean_length"]})


def tokens_in(batches, width):
    return sum(width(max(some)) * len(some) for some in batches)


def padding_with(width):
    def wrong(lengths, batch, multiple, bucketed):
        if bucketed:
            lengths = sorted(lengths, reverse=True)
        processed = tokens_in(cut(lengths, batch), lambda longest: width(longest, multiple))
        return (processed - sum(lengths)) / processed

    return wrong


def up(length, multiple):
    return -(-length // multiple) * multiple


def longest_of_all(lengths, multiple, **_):
    processed = up(max(lengths), multiple) * len(lengths)
    return 1 - sum(lengths) / processed


def each_for_itself(lengths, multiple, **_):
    return 1 - sum(lengths) / sum(up(length, multiple) for length in lengths)


def shortest_first(lengths, batch, multiple, bucketed):
    return padding(sorted(lengths) if bucketed else lengths, batch, multiple, False)


def always_sorted(**c):
    return padding(**c | {"bucketed": True})


def never_sorted(**c):
    return padding(**c | {"bucketed": False})


def whole_batches_only(lengths, batch, multiple, bucketed):
    lengths = sorted(lengths, reverse=True) if bucketed else lengths
    return padding(lengths[: len(lengths) // batch * batch], batch, multiple, False)


def last_batch_filled(lengths, batch, multiple, bucketed):
    lengths = sorted(lengths, reverse=True) if bucketed else lengths
    processed = sum(up(max(some), multiple) * batch for some in cut(lengths, batch))
    return 1 - sum(lengths) / processed


def mean_of_batches(lengths, batch, multiple, bucketed):
    lengths = sorted(lengths, reverse=True) if bucketed else lengths
    return np.mean([padding(some, batch, multiple, False) for some in cut(lengths, batch)])


def padding_per_word(**case):
    share = padding(**case)
    return share / (1 - share)


def same_licence(train, test):
    return sum(key in train for key in test) / len(test)


def found_within(train, test):
    return sum(any(key.split("-")[0] in other for other in train) for key in test) / len(test)


def starts_alike(train, test):
    families = tuple({key.split("-")[0] for key in train})
    return sum(key.startswith(families) for key in test) / len(test)


def last_part_off(train, test):
    seen = {"-".join(key.split("-")[:-1]) for key in train}
    return sum("-".join(key.split("-")[:-1]) in seen for key in test) / len(test)


def share_of_families(train, test):
    train, test = ({key.split("-")[0] for key in side} for side in (train, test))
    return len(train & test) / len(test)


def precision_and_recall(confusion):
    columns = [sum(row[c] for row in confusion) for c in range(len(confusion))]
    right = [confusion[c][c] for c in range(len(confusion))]
    recall = [r / sum(row) for r, row in zip(right, confusion, strict=True)]
    precision = [r / n if n else 0 for r, n in zip(right, columns, strict=True)]
    return np.array(precision), np.array(recall)


def f1_of(precision, recall):
    return 2 * precision * recall / (precision + recall)


def f1_by_class(confusion):
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(f1_of(*precision_and_recall(confusion)))


def guessed_classes_only(confusion):
    return float(np.mean(f1_by_class(confusion)[np.sum(confusion, axis=0) > 0]))


def weighted(confusion):
    return float(np.average(f1_by_class(confusion), weights=np.sum(confusion, axis=1)))


def overlap(confusion):
    right = np.diag(confusion)
    either = np.sum(confusion, axis=0) + np.sum(confusion, axis=1) - right
    return float(np.mean(right / either))


def stored_of(numbers):
    def wrong(tasks, encoder_parameters, layers, hidden, rank, adapted, classes):
        thin = layers * adapted * rank * hidden
        return 4e-6 * numbers(encoder_parameters, tasks, thin, hidden, classes)

    return wrong


def square_adapters(tasks, encoder_parameters, layers, hidden, adapted, classes, **_):
    adapters = layers * adapted * hidden**2
    return 4e-6 * (encoder_parameters + tasks * (adapters + hidden * classes + classes))


def spot_with(lost_minutes):
    def wrong(**c):
        hours = c["work_hours"] + (
            c["work_hours"] * 60 / c["checkpoint_minutes"] * c["checkpoint_seconds"] / 3600
        )
        lost = lost_minutes(c["checkpoint_minutes"], c["restart_minutes"]) / 60
        return c["usd_per_hour"] * (hours + hours / c["hours_between_interruptions"] * lost)

    return wrong


def once(**c):
    hours = c["work_hours"] * (1 + c["checkpoint_seconds"] / 60 / c["checkpoint_minutes"])
    return c["usd_per_hour"] * (hours + (c["checkpoint_minutes"] / 2 + c["restart_minutes"]) / 60)


def interrupted_only_at_work(**c):
    writing = c["work_hours"] * c["checkpoint_seconds"] / 60 / c["checkpoint_minutes"]
    return spot(**c | {"checkpoint_seconds": 0}) + writing * c["usd_per_hour"]


def one_checkpoint(**c):
    hours = c["work_hours"] + c["checkpoint_seconds"] / 3600
    return spot(**c | {"work_hours": hours, "checkpoint_seconds": 0})


def fitting(fixed_mib, mib_per_text, memory_gib, **_):
    return (1024 * memory_gib - fixed_mib) // mib_per_text


def from_room(answer):
    def wrong(**c):
        room = fitting(**c)
        return answer(c["batch"], room) if room > 0 else None

    return wrong


def micro_batch(**c):
    accumulated = steps(**c)
    return accumulated and c["batch"] // accumulated


def thousand(batch, fixed_mib, mib_per_text, memory_gib):
    return steps(batch, fixed_mib + 24 * memory_gib, mib_per_text, memory_gib)


def strictly(batch, fixed_mib, mib_per_text, memory_gib):
    for n in range(1, batch + 1):
        if batch % n == 0 and fixed_mib + batch // n * mib_per_text < 1024 * memory_gib:
            return n
    return None


def gain(figure):
    return lambda new_scores, old_scores: float(figure(np.subtract(new_scores, old_scores)))


def own_intervals(new_scores, old_scores):
    out = len(new_scores) // 40
    return sorted(new_scores)[out] - sorted(old_scores, reverse=True)[out]


def sorted_apart(new_scores, old_scores):
    out = len(new_scores) // 40
    return sorted(new_scores)[out] - sorted(old_scores)[out]


WRONG = [
    (lab06.fine_tuning_flops, by_method(3, 1, 2), "multiply-add"),
    (lab06.fine_tuning_flops, by_method(2, 2, 2), "forward pass alone"),
    (lab06.fine_tuning_flops, by_method(6, 6, 6), "saves work"),
    (lab06.fine_tuning_flops, by_method(6, 2, 2), "those of the first"),
    (lab06.fine_tuning_flops, by_method(6, 2, 6), "nobody need"),
    (lab06.fine_tuning_flops, by_method(6, 4, 4), "How far down"),
    (lab06.fine_tuning_flops, by_method(6, 6, 4), "How far down"),
    (lab06.fine_tuning_flops, by_method(4, 2, 4), "which two gradients"),
    (lab06.fine_tuning_flops, words_only, "padding from words"),
    (lab06.fine_tuning_flops, lambda **c: flops(**c | {"epochs": 1}), "How many times"),
    (lab06.fine_tuning_flops, lambda **c: flops(**c | {"padded_length": 1}), "more than one"),
    (lab06.padding_share, longest_of_all, "longest of all"),
    (lab06.padding_share, padding_with(lambda longest, _: longest), "up to what"),
    (lab06.padding_share, padding_with(lambda n, m: n - n % m + m), "no rounding"),
    (lab06.padding_share, padding_with(lambda n, m: max(n - n % m, m)), "lose its end"),
    (lab06.padding_share, each_for_itself, "form one table"),
    (lab06.padding_share, never_sorted, "sorted before"),
    (lab06.padding_share, always_sorted, "stay in the order"),
    (lab06.padding_share, shortest_first, "longest first"),
    (lab06.padding_share, whole_batches_only, "also when it isn't full"),
    (lab06.padding_share, last_batch_filled, "no rows are made up"),
    (lab06.padding_share, mean_of_batches, "differ in size"),
    (lab06.padding_share, lambda **c: 1 - padding(**c), "read from texts"),
    (lab06.padding_share, padding_per_word, "of the whole"),
    (lab06.padding_share, lambda **c: 100 * padding(**c), "percents"),
    (lab06.leaked_share, same_licence, "nearly the same"),
    (lab06.leaked_share, found_within, "another name"),
    (lab06.leaked_share, starts_alike, "another name"),
    (lab06.leaked_share, last_part_off, "first hyphen"),
    (lab06.leaked_share, share_of_families, "one of clauses"),
    (lab06.leaked_share, lambda train, test: leaked(train, set(test)), "each of them counts"),
    (lab06.leaked_share, lambda train, test: leaked(test, train), "too good"),
    (
        lab06.leaked_share,
        lambda train, test: leaked(train, test) * len(test) / len(train + test),
        "of which clauses",
    ),
    (lab06.leaked_share, lambda train, test: leaked(train, test) * len(test), "how many"),
    (lab06.leaked_share, lambda train, test: 1 - leaked(train, test), "is clean"),
    (
        lab06.macro_f1,
        lambda confusion: np.trace(confusion) / np.sum(confusion),
        "every text weighs the same",
    ),
    (lab06.macro_f1, weighted, "hardly count"),
    (lab06.macro_f1, lambda confusion: precision_and_recall(confusion)[1].mean(), "wrongly taken"),
    (lab06.macro_f1, lambda confusion: precision_and_recall(confusion)[0].mean(), "weren't found"),
    (
        lab06.macro_f1,
        lambda confusion: f1_of(*(figure.mean() for figure in precision_and_recall(confusion))),
        "other way round",
    ),
    (lab06.macro_f1, lambda confusion: np.mean(precision_and_recall(confusion)), "harmonic"),
    (lab06.macro_f1, guessed_classes_only, "never guessed"),
    (lab06.macro_f1, overlap, "count twice"),
    (lab06.macro_f1, lambda confusion: f1_by_class(confusion).sum(), "their mean"),
    (lab06.macro_f1, lambda confusion: 100 * macro_f1(confusion), "percents"),
    (
        lab06.stored_megabytes,
        stored_of(lambda e, n, thin, h, c: n * (e + 2 * thin + h * c + c)),
        "share",
    ),
    (
        lab06.stored_megabytes,
        stored_of(lambda _e, n, thin, h, c: n * (2 * thin + h * c + c)),
        "sit in",
    ),
    (
        lab06.stored_megabytes,
        stored_of(lambda e, n, thin, h, c: e + n * (thin + h * c + c)),
        "two thin matrices",
    ),
    (lab06.stored_megabytes, lambda **c: stored(**c | {"adapted": 1}), "How many projections"),
    (lab06.stored_megabytes, lambda **c: stored(**c | {"layers": 1}), "Every layer"),
    (lab06.stored_megabytes, square_adapters, "how wide is it inside"),
    (
        lab06.stored_megabytes,
        stored_of(lambda e, n, thin, _h, _c: e + n * 2 * thin),
        "classes of its own",
    ),
    (
        lab06.stored_megabytes,
        stored_of(lambda e, n, thin, h, c: e + n * (2 * thin + h * c)),
        "after the product",
    ),
    (lab06.stored_megabytes, lambda **c: stored(**c | {"tasks": 1}), "how many are there"),
    (lab06.stored_megabytes, lambda **c: stored(**c) * 1e6 / 2**20, "mebibytes"),
    (lab06.stored_megabytes, lambda **c: stored(**c) / 2, "How many bytes"),
    (lab06.stored_megabytes, lambda **c: stored(**c) / 4, "millions of numbers"),
    (lab06.stored_megabytes, lambda **c: 1e6 * stored(**c), "These are bytes"),
    (lab06.spot_usd, spot_with(lambda _c, _r: 0), "nobody interrupts"),
    (lab06.spot_usd, lambda **c: spot(**c | {"checkpoint_seconds": 0}), "Writing checkpoints"),
    (lab06.spot_usd, spot_with(lambda _c, restart: restart), "done again"),
    (lab06.spot_usd, spot_with(lambda every, restart: every + restart), "on average"),
    (lab06.spot_usd, spot_with(lambda every, _r: every / 2), "its start is paid for"),
    (lab06.spot_usd, spot_with(lambda every, restart: (every + restart) / 2), "its whole time"),
    (lab06.spot_usd, once, "How many interruptions"),
    (lab06.spot_usd, one_checkpoint, "How many checkpoints"),
    (lab06.spot_usd, interrupted_only_at_work, "which hours are exposed"),
    (
        lab06.spot_usd,
        spot_with(lambda every, restart: 60 * (every / 2 + restart)),
        "are in minutes",
    ),
    (
        lab06.spot_usd,
        lambda **c: spot(**c | {"checkpoint_seconds": 60 * c["checkpoint_seconds"]}),
        "not minutes",
    ),
    (lab06.spot_usd, lambda **c: spot(**c | {"usd_per_hour": 1}), "These are hours"),
    (lab06.accumulation_steps, from_room(lambda b, room: math.ceil(b / room)), "same size"),
    (lab06.accumulation_steps, from_room(lambda b, room: max(1, b // room)), "add up to it"),
    (lab06.accumulation_steps, from_room(lambda b, room: b / min(b, room)), "add up to it"),
    (lab06.accumulation_steps, micro_batch, "size of a micro-batch"),
    (lab06.accumulation_steps, from_room(lambda b, _: b), "fewer steps"),
    (lab06.accumulation_steps, lambda **c: steps(**c | {"fixed_mib": 0}), "memory first"),
    (lab06.accumulation_steps, lambda **c: steps(**c) or 0, "not even one text"),
    (lab06.accumulation_steps, lambda **c: steps(**c) or 1, "not even one text"),
    (lab06.accumulation_steps, lambda **c: steps(**c) or c["batch"], "not even one text"),
    (lab06.accumulation_steps, strictly, "just enough"),
    (lab06.accumulation_steps, thousand, "1,024"),
    (lab06.sure_gain, own_intervals, "same texts"),
    (lab06.sure_gain, sorted_apart, "within a draw"),
    (lab06.sure_gain, gain(np.mean), "on average"),
    (lab06.sure_gain, gain(np.median), "in the middle"),
    (lab06.sure_gain, gain(np.min), "one of a kind"),
    (lab06.sure_gain, gain(lambda d: np.sort(d)[len(d) // 20]), "two ends"),
    (lab06.sure_gain, gain(lambda d: np.sort(d)[::-1][len(d) // 40]), "upper end"),
    (lab06.sure_gain, gain(lambda d: np.sort(d)[len(d) // 40 - 1]), "counts from zero"),
    (lab06.sure_gain, gain(lambda d: np.percentile(d, 2.5)), "between two draws"),
    (
        lab06.sure_gain,
        lambda new_scores, old_scores: sure(old_scores, new_scores),
        "Turned round",
    ),
    (lab06.sure_gain, lambda **c: -sure(**c), "Turned round"),
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
        if right is not None:
            told = re.findall(r"-?\d[\d,.]*(?:e[+-]?\d+)?", caught.value.problem.split("Your ")[-1])
            told += re.findall(r"\d[\d,.]*\d", caught.value.remedy)
            figures = [float(number.replace(",", "").rstrip(".")) for number in told]
            assert not any(math.isclose(figure, right, rel_tol=1e-5) for figure in figures)


def same(mine, right):
    if mine is None or right is None:
        return mine is right
    return math.isclose(mine, right, rel_tol=1e-6)


CHECKS = [check for check, _ in RIGHT]


@pytest.mark.parametrize("check", CHECKS)
def test_known_mistakes_differ_from_the_right_answer_and_from_each_other(check):
    """As often as a student may press the button: each time there are twenty cases."""
    assert len({mistake.hint for mistake in check.mistakes}) >= 4
    for attempt in range(25):
        rng = np.random.default_rng(attempt)
        cases = [check.example] + [check.case(rng) for _ in range(20)]
        right = [check.reference(**case) for case in cases]
        made = [[mistake.answer(**case) for case in cases] for mistake in check.mistakes]
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


def test_cases_reach_every_kind_of_answer():
    rng = np.random.default_rng(0)

    def drawn(check):
        cases = [check.case(rng) for _ in range(200)]
        return cases, [check.reference(**case) for case in cases]

    assert {case["method"] for case in drawn(lab06.fine_tuning_flops)[0]} == {
        "full", "head", "lora",
    }  # fmt: skip
    _, shares = drawn(lab06.padding_share)
    assert 0 < min(shares) < 0.2 < max(shares) < 0.9
    _, shares = drawn(lab06.leaked_share)
    assert {0.0, 1.0} <= set(shares)
    cases, _ = drawn(lab06.macro_f1)
    never_guessed = [not np.sum(case["confusion"], axis=0).all() for case in cases]
    assert 50 < sum(never_guessed) < 150
    assert all(np.sum(case["confusion"], axis=1).all() for case in cases)
    cases, counts = drawn(lab06.accumulation_steps)
    assert {None, 1, 2} < set(counts)
    assert all(case["fixed_mib"] > 0 for case in cases)
    _, gains = drawn(lab06.sure_gain)
    assert min(gains) < 0 < max(gains)
