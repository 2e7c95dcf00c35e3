# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 06 · Fine-tuning BERT on legal text
#
# **A lawyer has labelled a few hundred sentences. Is a pre-trained network worth its bill, or do counted words do?**
#
# A company takes in software under hundreds of licences. Each is pages of clauses, and somebody has to know
# which clauses impose which duty: to disclose source, to pay, to keep a secret, not to export. The reviewers' tool
# shows each clause by the sentence that opens it, and should sort these sentences by topic. Labels are dear: a
# lawyer makes them. Someone proposes BERT on a GPU. Somebody else says that logistic regression on counted
# words takes two seconds and has always been good enough. You find out who is right, and when.
#
# When you are done you can
#
# - make a fair test of real, messy text: without copies, split so that nothing leaks;
# - say before a fine-tuning what it computes, holds, takes and costs, here and on rented GPUs;
# - train a BERT in full, by its head alone and by LoRA adapters, and say what each buys;
# - hold it against an honest baseline, and say how sure the difference is;
# - name overfitting and underfitting from curves, and tell a trend from the luck of a seed;
# - lose a machine in the middle of a training and not lose the training.
#
# In the enterprise workflow this is the step from data that is ready (lab 03) to a model that can be
# packaged (lab 10). Eight exercises, 16 points, about three hours with reading. You need no GPU; where there is
# one, the lab uses it.
#
# <details><summary>Words used in this lab</summary>
#
# - **BERT**: a Transformer encoder that was **pre-trained**: it has read billions of words and learnt to fill in
#   missing ones. **Fine-tuning** trains it on for a task with labels. **MiniLM**: a small BERT, of six layers.
# - **Token**: a word or a piece of one. **Head**: the last layer, which turns what the encoder says of a text
#   into a score for each class, a **logit**. **Softmax** turns logits into probabilities.
# - **TF-IDF**: a text as counts of its words, rare words given more weight. **Logistic regression**: a linear
#   classifier with probabilities.
# - **Step**: the weights are moved once, by one **batch** of texts. **Epoch**: all training texts once. **Learning
#   rate**: how far a step moves. **Loss**: minus the logarithm of the probability given to the right class, in
#   **nats**; 0 is certain and right.
# - **Accuracy**: the share of texts that are guessed right. **F1** of a class: high where what is guessed to be
#   of the class is, and what is of it is found. **Macro-F1**: the mean of all classes' F1.
# - **Training**, **validation** and **test** texts: to learn from, to choose by, and to judge on once.
# - **LoRA**: small matrices beside the frozen ones learn instead of these. **Rank**: how small.
# - **Bootstrap**: drawing the test texts again and again, to see how much a score would vary.
# - **bf16**: numbers of 16 bits with the range of fp32. **MFU**: model FLOPs utilisation, the share of a device's
#   peak rate that did what the texts ask for.
# - **Dropout**: some activations are set to zero at random while a network learns. **Projection**: one of a layer's
#   matrices of weights, such as those that make queries and values. **Optimiser states**: what the optimiser keeps for
#   every weight beside it, such as the running means of its gradients.
# - **Spot instance**: rented cheaply, and taken away when the provider needs it. **Checkpoint**: all that a
#   training needs to go on.
# </details>

# %% tags=["parameters"]
from typing import Annotated, Literal

from annotated_types import Ge, Interval

profile: Literal["smoke", "laptop", "full"] = "laptop"  # smoke: does it run? full: all labels
data_set: Literal["licence-texts", "ledgar", "cuad"] = "licence-texts"  # others: elab data fetch
model: str = "minilm"  # weights: elab data list; bert-base-uncased and others are downloaded
device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU where there is one
learning_rate: Annotated[float, Interval(gt=0, le=0.01)] = 1e-4  # of the encoder
batch: Annotated[int, Interval(ge=1, le=1024)] = 16  # texts in one step
sequence_length: Annotated[int, Interval(ge=8, le=512)] = 64  # tokens that are read of a text
seed: Annotated[int, Ge(0)] = 0  # of splits, samples, new weights and the order of texts

# %%
import time

from enterprise_lab import course

started = time.perf_counter()
preflight = course.preflight("06_bert_finetuning", profile, data_set, model)
preflight

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from enterprise_lab import catalog, data
from enterprise_lab.course import (
    evaluation_pictures,
    finetuning,
    finetuning_pictures,
    hardware,
    lab06,
    pictures,
)
from enterprise_lab.data.clauses import TOPICS, clauses
from enterprise_lab.data.duplicates import exact_duplicates, near_duplicates
from enterprise_lab.data.legal import legal_texts
from enterprise_lab.data.licences import by_category, licences
from enterprise_lab.data.relatives import join_relatives
from enterprise_lab.data.sentences import openings
from enterprise_lab.data.splitting import leaked, split
from enterprise_lab.estimate import Estimate
from enterprise_lab.evaluation import metrics
from enterprise_lab.evaluation.baselines import TfIdf, majority
from enterprise_lab.evaluation.bootstrap import interval, paired_difference
from enterprise_lab.evaluation.calibration import best_temperature, probabilities, reliability
from enterprise_lab.evaluation.diagnosis import diagnose
from enterprise_lab.measure.devices import devices, resident_memory
from enterprise_lab.measure.this_machine import this_machine
from enterprise_lab.training.figures import single
from enterprise_lab.training.finetuning.classifier import load_classifier
from enterprise_lab.training.finetuning.encoder import read_shape
from enterprise_lab.training.finetuning.recipe import best_precision, usual
from enterprise_lab.training.finetuning.run import fine_tune
from enterprise_lab.training.finetuning.spot import fine_tune_until_killed
from enterprise_lab.units import format_bytes, format_seconds, format_si

size = finetuning.SIZES[profile]

# %% [markdown]
# ## 1 · Collect: where do labels come from?
#
# The kit carries some two thousand licences, collected by the makers of ScanCode. Nobody has labelled their
# sentences. But lawyers write headings: *7. Limitation of liability.* A heading cuts out a clause and says what
# it is about. So the heading gives the label, and is taken away: the model has to tell from the words alone.
# Large collections of contracts were labelled the same way
# ([LEDGAR](https://aclanthology.org/2020.lrec-1.155), Tuggener et al. 2020).

# %% tags=["nbval-check-output"]
whole = legal_texts(data_set)
whole

# %%
finetuning.samples(clauses(licences()), list(TOPICS)[::3], seed)

# %% [markdown]
# Read them. Would you have given the same labels? Some headings promise what the text doesn't keep; that is
# **label noise**, and it bounds the score that any model can be seen to reach.
#
# The reviewers see the sentence that opens each clause. That is our text.
#
# ## 2 · Clean: how many texts are there really?
#
# Licences are written by copying licences. A copy in the test of something in the training measures memory.
# **Exact** copies are found by comparing words; **near** copies, which share six in ten of their
# three-word sequences, by
# [MinHash](https://doi.org/10.1109/SEQUEN.1997.666900) (Broder 1997), which finds candidates without comparing
# every pair.
#
# **Think about it.** Of all the sentences, how many do you expect to be left?

# %% tags=["nbval-check-output"]
sentences = openings(whole)
distinct = sentences.take(exact_duplicates(sentences.texts).kept)
found = near_duplicates(distinct.texts)
texts = join_relatives(distinct, found).take(found.kept)
course.say(
    f"Of {len(sentences):,} sentences {len(distinct):,} are distinct, and"
    f" **{len(texts):,}** are left without near copies: {1 - len(texts) / len(sentences):.0%} are"
    f" copies of others."
)

# %% [markdown]
# Here is one such pair, from two families of licences:

# %%
across = [one for one in found.pairs if distinct.groups[one.kept] != distinct.groups[one.copy]]
finetuning.copies(distinct, (across or found.pairs)[0])

# %% [markdown]
# ## 3 · Split: what has the model seen before?
#
# Even what isn't a copy can give itself away: the clauses of one family of licences share names, numbering and
# turns of phrase.
#
# ### Exercise 1 · Families
#
# ★★☆ · 10 minutes · 2 points
#
# Many clauses of `lgpl-2.0` stand in `lgpl-2.1` word for word. With one in training and the other in the test,
# the model is praised for its memory. So licences are split by **family**, what stands in a licence's key
# before the first hyphen (of `mit` the whole key): `gpl-2.0-plus` is of the family `gpl`.
#
# Somebody hands you a split. What share of the test's clauses comes from a family that also has a clause in
# training?
#
# <details><summary>Hint: where do I start?</summary>
#
# A string's `split` finds the family. For which question about the families of training is a set the right thing?
# </details>


# %% nbgrader={"grade": false, "grade_id": "leak", "locked": false, "schema_version": 3, "solution": true, "task": false}
def leaked_share(train: tuple[str, ...], test: tuple[str, ...]) -> float:
    """Return the share of the test's clauses whose family is also in training, between 0 and 1.

    train, test: for each clause the key of the licence it comes from. Several clauses can come
    from the same licence.

    Example: train ("gpl-2.0", "gpl-2.0", "mit", "cc-by-4.0", "eclipse-sua-2011"), test
    ("gpl-3.0", "gpl-3.0", "mit", "cc0-1.0", "ecl-2.0"): three of five, 0.6.
    """
    ### BEGIN SOLUTION
    known = {key.split("-")[0] for key in train}
    return sum(key.split("-")[0] in known for key in test) / len(test)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-leak", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.leaked_share(leaked_share)
### BEGIN HIDDEN TESTS
assert leaked_share(("mit",), ("mit-0", "mitre", "bsd-new", "isc")) == 0.25
assert leaked_share(("lgpl-2.1",), ("gpl-2.0", "gpl-2.0")) == 0
### END HIDDEN TESTS

# %% [markdown]
# The kit's `split` keeps families together; those that copy much from each other were joined into one when near copies
# were removed. How much would a careless split have leaked: sentences of the test with a near copy in training?

# %%
shares = {"seed": seed, "test_share": 0.6, "validation_share": 0.1}
careless, by_family = split(sentences, grouped=False, **shares), split(sentences, **shares)
parts = split(texts, **shares)
course.say(
    f"Of all sentences, split at random: **{len(leaked(sentences, careless)) / len(careless.test):.0%}**. With families"
    f" kept together: **{len(leaked(sentences, by_family)) / len(by_family.test):.0%}**. With near copies gone as well, which"
    f" is our split: **{len(leaked(texts, parts)) / len(parts.test):.0%}**."
)

# %% [markdown]
# Labels are dear, so we pretend that the lawyer has labelled only some of the training families' sentences. Six tenths
# of all are for the test: the larger it is, the surer the verdict. (A company would pay for those labels too. Ours are
# free, so we can afford to be sure.)

# %%
labelled = finetuning.some(texts.take(parts.train), size.labelled, seed)
validation = finetuning.some(texts.take(parts.validation), size.validation, seed)
test = finetuning.some(texts.take(parts.test), size.test, seed)
tried_on = finetuning.some(labelled, size.tried_on, seed)  # for experiments
batch = min(batch, len(labelled) // 2)  # two steps an epoch at least: the first also allocates
course.say(
    f"**{len(labelled)}** sentences to learn from, {len(labelled) / len(texts.classes):.0f} a topic on average;"
    f" {len(validation)} to choose by; {len(test):,}, from {len(set(test.groups))} families, to judge on."
)

# %% [markdown]
# ## 4 · The baseline that has to be beaten
#
# ### Exercise 2 · Macro-F1
#
# ★★☆ · 12 minutes · 2 points
#
# Some topics are frequent, some are rare. **Accuracy** counts clauses, so a model can ignore the
# rare topics and look good. **Macro-F1** counts topics: the plain mean of each topic's F1, the harmonic mean
# of its precision $P$ (of those taken for it, how many are right?) and its recall $R$ (of its own, how many
# were found?):
#
# $$F_1 = \frac{2PR}{P+R}.$$
#
# A topic of which nothing was found has $F_1 = 0$, also if the model never guessed it.
#
# <details><summary>Hint: what is where?</summary>
#
# Row $c$ of the matrix holds the clauses that truly are of topic $c$, column $c$ those taken for it; on the
# diagonal are those that are right.
# </details>
# <details><summary>Hint for a ZeroDivisionError</summary>
#
# A topic that was never guessed has an empty column; of one guessed only wrongly $P = R = 0$. What is $F_1$ then?
# </details>


# %% nbgrader={"grade": false, "grade_id": "macro-f1", "locked": false, "schema_version": 3, "solution": true, "task": false}
def macro_f1(confusion: list[list[int]]) -> float:
    """Return the mean of the classes' F1, between 0 and 1.

    confusion: how many texts of the row's class were taken for the column's. Each class has at
    least one text; some may never have been guessed.

    Example: [[6, 2, 0], [1, 3, 0], [1, 1, 0]]: F1 of 0.75, 0.6 and 0, in the mean 0.45.
    """
    ### BEGIN SOLUTION
    scores = []
    for c, row in enumerate(confusion):
        taken = sum(other[c] for other in confusion)
        scores.append(2 * row[c] / (sum(row) + taken))
    return sum(scores) / len(scores)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-macro-f1", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.macro_f1(macro_f1)
### BEGIN HIDDEN TESTS
assert macro_f1([[3, 0], [0, 1]]) == 1
assert macro_f1([[0, 2], [2, 0]]) == 0
assert abs(macro_f1([[99, 0], [1, 0]]) - 99 / 199) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# Two baselines. The most frequent topic for all: the floor. And TF-IDF with logistic regression: single words and pairs,
# all of the sentence, rare topics given more weight as macro-F1 wants it, its one setting chosen by cross-validation. No
# straw man.

# %%
scores, guesses, chances = {}, {}, {}


def judge(name, chance):
    """Keep the test guesses of a method, given the probability of each class, and its score."""
    chances[name], guesses[name] = chance, chance.argmax(axis=1)
    scores[name] = interval(metrics.macro_f1, test.labels, guesses[name], groups=test.groups)


# %%
def count_words(learnt):
    """Fit the baseline to labelled texts."""
    return TfIdf(seed).fit(
        learnt.texts, learnt.labels, groups=learnt.groups, classes=len(texts.classes)
    )


count_words(tried_on)  # the first fit also loads the library
began = time.perf_counter()
words = count_words(labelled)
tf_idf_seconds = time.perf_counter() - began
judge("most frequent", np.eye(len(texts.classes))[majority(labelled.labels, len(test))])
judge("TF-IDF", words.probabilities(test.texts))
course.say(
    f"Macro-F1 of the most frequent topic: {scores['most frequent'].value:.3f}. Of **TF-IDF: {scores['TF-IDF']}**,"
    f" after {format_seconds(tf_idf_seconds)} of training. (In brackets 95 % intervals, by drawing families of"
    f" the test again and again: sentences of one family stand and fall together.)"
)

# %% [markdown]
# ## 5 · Predict: what will BERT take?
#
# Before it is trained, say what it takes. First by hand.
#
# ### Exercise 3 · What does a fine-tuning compute?
#
# ★★☆ · 12 minutes · 2 points
#
# Three methods are on the table. **Full** fine-tuning trains every weight. **Head** freezes the encoder
# and trains a linear layer on what it puts out. **LoRA** freezes the encoder too, but adds small adapters
# to its layers and trains those. (Short texts are filled up with **padding** to one length, which is multiplied like
# words; section 6.) Count the FLOPs of each by the rule of lab 01: a weight of the encoder
# costs one multiply-add for each token on the way forward; on the way back one for the gradient of the
# layer's input, which carries the error down to the layers below, and one for the gradient of the weight
# itself. Count a multiply-add as 2 FLOPs.
#
# Leave out what is small: the attention scores, the adapters' own products, the head. For LoRA let the
# error travel through the whole encoder. Let every epoch run the encoder again, with each method.
#
# <details><summary>Hint for "too large" with LoRA or a head</summary>
#
# For each method ask two questions. Does the error have to pass through the encoder, to reach something
# that learns? Do the encoder's own weights need gradients?
# </details>
# <details><summary>Hint for "too small": how many tokens?</summary>
#
# A text is a row of a table, and the whole table is multiplied.
# </details>


# %% nbgrader={"grade": false, "grade_id": "flops", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fine_tuning_flops(
    encoder_parameters: int,
    texts: int,
    mean_length: int,
    padded_length: int,
    epochs: int,
    method: str,
) -> float:
    """Return the FLOPs of a fine-tuning.

    encoder_parameters: weights of the encoder's layers, without the embedding tables, which are
    looked up, not multiplied; texts: in one epoch; mean_length: tokens of a text on average;
    padded_length: tokens to which each text is padded; epochs; method: "full", "head" or "lora".

    Example: 1,000 parameters, 10 texts of 6 tokens padded to 8, 2 epochs, "full": 960,000.
    """
    ### BEGIN SOLUTION
    products = {"full": 3, "head": 1, "lora": 2}[method]  # forward; to the input; to the weight
    tokens = texts * padded_length * epochs
    return 2 * products * encoder_parameters * tokens
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-flops", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.fine_tuning_flops(fine_tuning_flops)
### BEGIN HIDDEN TESTS
assert fine_tuning_flops(1000, 10, 5, 10, 1, "full") == 600_000
assert fine_tuning_flops(1000, 10, 5, 10, 1, "lora") == 400_000
assert fine_tuning_flops(1000, 10, 5, 10, 3, "head") == 600_000
### END HIDDEN TESTS

# %% [markdown]
# So LoRA saves a third of the arithmetic, not 99 % of it: few weights learn, but the error still passes
# through all of them. What LoRA saves is memory and storage (section 8).
#
# **Think about it.** A frozen encoder says the same of a text in every epoch. What could you keep, and what
# would the second epoch cost then?

# %% [markdown]
# Now by the estimator, which also knows attention, padding, memory and this machine's rates.

# %%
present = [one for one in devices() if one.kind != "tpu"]
kind = hardware.choose(device, present)
chip = this_machine() if kind == "cpu" else hardware.chip_of(kind, present, [])
weights = data.fetch(model)
shape = read_shape(weights)
recipe = replace(
    usual("full", precision=best_precision(kind), sequence_length=sequence_length),
    learning_rate=learning_rate, batch=batch, epochs=size.epochs, seed=seed,
)  # fmt: skip
lengths = finetuning.token_lengths(weights, labelled, sequence_length)
padded = finetuning.padded_to(lengths, recipe)
forecast = finetuning.predicted(shape, chip, recipe, padded)
forecast

# %% [markdown]
# And what would it take on rented machines, on demand and on spot?

# %%
rented = ["g4dn.xlarge", "g5.xlarge", "p3.2xlarge", "p4d.24xlarge"]
outlays = [finetuning.outlay(shape, chip, recipe, padded, None)]
outlays += [
    finetuning.outlay(
        shape, catalog.accelerator(catalog.instance(name).accelerator), recipe, padded, name
    )
    for name in rented
]
finetuning_pictures.minutes_and_dollars(outlays)

# %% [markdown]
# Only one of the last machine's eight GPUs works, but all are paid for. Even with a minute billed at least, read off how
# little one such training costs; what makes it dear is how often it is done, for many seeds, settings, customers.
#
# ## 6 · Tokens, and how much of them is nothing
#
# ### Exercise 4 · How much of it is padding?
#
# ★★☆ · 15 minutes · 2 points
#
# The texts of a batch are the rows of one table, so the short ones are filled up with padding to the
# longest, and its length is rounded up to a multiple that suits the chip. Padding means nothing, and costs
# as much as words. **Bucketing** puts texts of like length into the same batch: here, the texts are
# sorted, the longest first, before they are cut into batches. (The longest first, so that a batch which
# doesn't fit into memory says so in the first second, not in the last.)
#
# Write the function that says which share of all processed tokens is padding. The last batch may have
# fewer texts than the others; it has no rows without a text.
#
# <details><summary>Hint: one batch first</summary>
#
# Texts of 10 and 60 tokens with multiple 8: the table is 2 rows × 64, 128 tokens, of which 70 are words.
# </details>
# <details><summary>Hint for "too small" or "too large" by a little</summary>
#
# Is a length that already is a multiple left as it is? Is the last batch as small as it is? Have you added
# tokens up before you divided?
# </details>


# %% nbgrader={"grade": false, "grade_id": "padding", "locked": false, "schema_version": 3, "solution": true, "task": false}
def padding_share(lengths: tuple[int, ...], batch: int, multiple: int, bucketed: bool) -> float:
    """Return the share of all processed tokens that is padding, between 0 and 1.

    lengths: tokens of each text, in the order in which they come; batch: texts in one;
    multiple: the longest text of a batch is rounded up to a multiple of this many tokens, and the
    others are padded to it; bucketed: the texts are sorted first, the longest first.

    Example: lengths (10, 60, 12, 50, 14), batch 2, multiple 8, not bucketed: 2 x 64 + 2 x 56 +
    1 x 16 = 256 tokens, of which 110 are padding: 0.4297.
    """
    ### BEGIN SOLUTION
    ordered = sorted(lengths, reverse=True) if bucketed else lengths
    processed = 0
    for start in range(0, len(ordered), batch):
        texts = ordered[start : start + batch]
        processed += len(texts) * -(-max(texts) // multiple) * multiple
    return 1 - sum(lengths) / processed
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-padding", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.padding_share(padding_share)
### BEGIN HIDDEN TESTS
assert abs(padding_share((8, 64, 8, 64), 2, 8, False) - 112 / 256) < 1e-12
assert padding_share((8, 64, 8, 64), 2, 8, True) == 0
assert abs(padding_share((4, 9, 1), 2, 4, True) - 14 / 28) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# Sorted from end to end, every epoch would go from long texts to short ones, and each text would always meet the
# same neighbours. So the kit draws the texts at random, sorts those of sixteen steps at a time, and shuffles the
# batches: a little more padding, and no order that a model could learn from.

# %%
ways = {
    "to the longest of all": np.full_like(lengths, sequence_length),
    "to a random batch's longest": finetuning.padded_to(lengths, replace(recipe, bucketing=False)),
    "in buckets of like length": padded,
}
finetuning_pictures.padding_by_batching(lengths, ways)

# %%
course.say(
    f"{np.mean(lengths == sequence_length):.0%} of the sentences fill all {sequence_length} tokens that BERT reads; of most"
    f" of these something is cut off, which counted words do see."
)

# %% [markdown]
# ## 7 · Train
#
# Hugging Face's Trainer trains, by this recipe. Read: the method; two learning rates, since the head begins untrained;
# epochs and batch; the precision of products. (`rank` and `targets` are LoRA's; `patience` 0 means no early stopping.)
#
# **Before you look**: the kit has predicted the step and the training. By how much will it be off?

# %%
recipe

# %%
with course.progress() as tell:
    full = fine_tune(weights, labelled, validation, recipe, device=kind, tell=tell)
judge("full fine-tuning", probabilities(full.logits(test.texts)))
figures = full.figures
course.say(
    f"After {format_seconds(figures.seconds)}: macro-F1 **{scores['full fine-tuning']}**. Step:"
    f" **{figures.steps}**, predicted {forecast.step_seconds}. {figures.tokens_per_second:,.0f} tokens/s,"
    f" {format_si(figures.work.flops, 'FLOP')}, {format_bytes(figures.peak_tensor_bytes)} at most,"
    f" MFU {figures.mfu(chip.peak_flops(recipe.precision)):.0%}, {figures.energy.joules:,.0f} J"
    f" ({figures.energy.origin})."
)

# %% [markdown]
# **Underfitting**: the training loss stays high, or both losses still fall. **Overfitting**: the training loss falls on
# while the validation loss rises or stays. (The training loss is the mean during an epoch, the validation loss that
# after it, so it can begin lower.)

# %%
evaluation_pictures.loss_curves({"full fine-tuning": full.curve})

# %%
course.say(f"Diagnosis: **{diagnose(full.curve).verdict}**: {diagnose(full.curve).because}")

# %% [markdown]
# A training loss near zero means that every training sentence is known by heart. That alone is no fault: look at
# what the validation loss does meanwhile.
#
# ## 8 · In full, by the head, by adapters
#
# ### Exercise 5 · A model for every customer
#
# ★★☆ · 12 minutes · 2 points
#
# A firm sells this triage to many customers, each with topics of its own: a task for each. Fully fine-tuned,
# each is a model of its own. With LoRA the encoder is stored once, and each task adds its adapters and its
# head. An adapter stands beside a square projection of $d \times d$ weights: a matrix of $d \times r$ numbers
# down to the rank $r$, and one of $r \times d$ up again
# ([Hu et al. 2021](https://arxiv.org/abs/2106.09685), section 4). The head is a linear layer with a bias, from
# $d$ numbers to the classes.
#
# Write the function that says how many megabytes (10⁶ bytes) all tasks take together, stored in fp32.
#
# <details><summary>Hint for "too large": what is stored how often?</summary>
#
# Once: the encoder. For each task: adapters and head. For each layer: as many adapters as projections are
# adapted.
# </details>
# <details><summary>Hint for "too small" by a little</summary>
#
# A linear layer adds one number to each of its outputs.
# </details>


# %% nbgrader={"grade": false, "grade_id": "storage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stored_megabytes(
    tasks: int,
    encoder_parameters: int,
    layers: int,
    hidden: int,
    rank: int,
    adapted: int,
    classes: int,
) -> float:
    """Return the megabytes that an encoder and the LoRA adapters and heads of all tasks take.

    tasks: fine-tunings of the same encoder; encoder_parameters: all of them, embeddings included;
    layers, hidden: of the encoder; rank: of an adapter; adapted: projections of each layer that
    have one, each of hidden x hidden weights; classes: of each task. All in fp32.

    Example: tasks=10, encoder_parameters=1,000,000, layers=2, hidden=100, rank=5, adapted=2,
    classes=4: each task adds 4,000 + 404 numbers; 4.17616 MB.
    """
    ### BEGIN SOLUTION
    adapters = layers * adapted * 2 * hidden * rank
    head = hidden * classes + classes
    return 4 * (encoder_parameters + tasks * (adapters + head)) / 10**6
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-storage", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.stored_megabytes(stored_megabytes)
### BEGIN HIDDEN TESTS
assert abs(stored_megabytes(1, 250_000, 1, 10, 1, 1, 1) - 1.000124) < 1e-9
assert abs(stored_megabytes(100, 22_713_216, 6, 384, 8, 2, 23) - 123.8864) < 1e-3
### END HIDDEN TESTS

# %% [markdown]
# The kit puts adapters beside all of a layer's products, those of the MLP too, which aren't square: there they gain
# most ([Schulman et al. 2025](https://thinkingmachines.ai/blog/lora/)).
#
# **Think about it.** Adapters train few of the weights. What share of the time do they save? Of the memory? (Exercise 3
# has half of the answer.)

# %%
trained, forecasts = {"full fine-tuning": full}, {"full fine-tuning": forecast}
for name, method in (("LoRA", "lora"), ("frozen, head alone", "head")):
    its = usual(method, precision=recipe.precision, sequence_length=sequence_length)
    its = replace(
        its, batch=batch, seed=seed, epochs=size.epochs if profile == "smoke" else its.epochs
    )
    forecasts[name] = finetuning.predicted(shape, chip, its, finetuning.padded_to(lengths, its))
    with course.progress() as tell:
        trained[name] = fine_tune(weights, labelled, validation, its, device=kind, tell=tell)
    judge(name, probabilities(trained[name].logits(test.texts)))

# %%
finetuning_pictures.methods_compared(finetuning.methods(scores, trained, tf_idf_seconds))

# %%
lora, head = trained["LoRA"].figures, trained["frozen, head alone"].figures
kept = scores["LoRA"].value / scores["full fine-tuning"].value
behind = paired_difference(
    metrics.macro_f1, test.labels, guesses["LoRA"], guesses["full fine-tuning"], groups=test.groups
)
course.say(
    f"LoRA trains **{lora.trained_share:.1%}** of the parameters and reaches **{kept:.1%}** of the score ({behind.value:+.3f},"
    f" 95 %: {behind.low:+.3f} to {behind.high:+.3f}), in {lora.steps.value / figures.steps.value:.0%} of the time for a step; to"
    f" store: {format_bytes(lora.stored_bytes)} instead of {format_bytes(figures.stored_bytes)}. The frozen encoder sees"
    f" each text once ({format_seconds(head.training_seconds)} in all) and reaches"
    f" {scores['frozen, head alone'].value / scores['full fine-tuning'].value:.1%}."
)

# %% [markdown]
# ## 9 · What does pre-training buy?
#
# Train the same network from random weights, with the same recipe and the same sentences. And train the pre-trained one,
# and counted words, on fewer sentences. (Epochs stay as many, so fewer sentences are fewer steps; and the recipe was made
# for pre-trained weights. We ask what the same recipe buys.) **Think about it:** where will the lines meet, if they do?

# %%
lines = {name: {} for name in ("TF-IDF", "full fine-tuning")}
for number in [one for one in size.fewer if one < len(labelled)]:
    less = finetuning.some(labelled, number, seed)
    counted = count_words(less)
    with course.progress() as tell:
        learnt = fine_tune(weights, less, validation, recipe, device=kind, tell=tell)
    for name, chance in (
        ("TF-IDF", counted.probabilities(test.texts)),
        ("full fine-tuning", learnt.logits(test.texts)),
    ):
        lines[name][number] = interval(
            metrics.macro_f1, test.labels, chance.argmax(axis=1), groups=test.groups
        )
for name in lines:
    lines[name][len(labelled)] = scores[name]

# %%
with course.progress() as tell:
    blank = fine_tune(
        weights, labelled, validation, recipe, pretrained=False, device=kind, tell=tell
    )
judge("random weights", probabilities(blank.logits(test.texts)))
lines["random weights"] = {len(labelled): scores["random weights"]}
evaluation_pictures.scores_by_labels(lines)

# %% [markdown]
# Pre-training buys **labels**: read off how many sentences counted words need to be where BERT is with fewer. Where
# lines draw near to each other the simpler model is the better buy; where they don't yet, say at how many labels
# you would look next.
#
# ### Is the difference sure?
#
# ### Exercise 6 · A gain that doesn't go away
#
# ★★☆ · 12 minutes · 2 points
#
# The new model scores higher than the old one, on this test. Would it on another? The **bootstrap** asks: it
# draws a test of the same size from ours, with repetitions, scores both models on it, and does so many times.
# How much the gain varies from draw to draw is about how much it would from test to test.
#
# The 95 % interval of the gain leaves the lowest 2.5 % of the draws' gains below its lower end, and the highest
# 2.5 % above its upper end. Return the lower end: the smallest gain that isn't left out. Of 40 draws one is
# left out at each side, of 80 two.
#
# <details><summary>Hint for "too small": what is sorted?</summary>
#
# A draw with hard texts lowers both scores. What the two models have to do with each other is seen within a
# draw.
# </details>
# <details><summary>Hint: which one is it?</summary>
#
# Sort the gains and strike out as many at the front as are left out there. What stands first now?
# </details>


# %% nbgrader={"grade": false, "grade_id": "gain", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sure_gain(new_scores: tuple[float, ...], old_scores: tuple[float, ...]) -> float:
    """Return the lower end of the 95 % interval of the new model's gain.

    new_scores, old_scores: each draw's macro-F1 of the two models, draw by draw on the same
    texts; 40 draws or a multiple of them.

    Example: old scores of 0.40 in all of 40 draws, new ones of 0.41, 0.42, ... 0.80: the gain 0.01
    is left out, the lower end is 0.02.
    """
    ### BEGIN SOLUTION
    gains = sorted(new - old for new, old in zip(new_scores, old_scores, strict=True))
    return gains[len(gains) // 40]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-gain", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.sure_gain(sure_gain)
### BEGIN HIDDEN TESTS
assert sure_gain((1.0,) * 40, (0.5,) * 40) == 0.5
assert sure_gain(tuple(range(80, 0, -1)), (0,) * 80) == 3
assert sure_gain((0,) * 40, tuple(range(40))) == -38
### END HIDDEN TESTS

# %% [markdown]
# A lower end above zero is strong evidence that this trained model is better than that one on texts like these. Whether it
# is better by enough to pay for is another question, and not one of statistics.

# %% [markdown]
# Both models judged the same sentences, so the kit looks at the difference in each draw, as you did. It draws whole
# families, two thousand times.

# %%
gains = {
    name: paired_difference(
        metrics.macro_f1, test.labels, guesses[name], guesses["TF-IDF"], groups=test.groups
    )
    for name in ("full fine-tuning", "LoRA", "frozen, head alone", "random weights")
}
evaluation_pictures.scores_picture(scores, gains, against="TF-IDF")

# %%
gain = gains["full fine-tuning"]
verdict = (
    "a **clear gain**" if gain.low > 0 else "a **clear loss**" if gain.high < 0 else "**not clear**"
)
course.say(
    f"Full fine-tuning differs from TF-IDF by **{gain.value:+.3f}** (95 %: {gain.low:+.3f} to {gain.high:+.3f}): {verdict}"
    f" for these two trained models on texts like these. Another seed would train another model: section 12 gives an idea of"
    f" how much that varies."
)

# %% [markdown]
# ## 10 · How you ask can matter more than the model
#
# We chose what to ask. Here are three questions, each for counted words and for the same encoder, frozen, as that is quick.
# *The sentence that opens a clause: what is it about?* *The whole clause: what is it about?* And: *a whole licence: which
# category is it?*, where the encoder reads only the first tokens. **Think about it:** where are counted words furthest ahead?

# %%
frozen = usual("head", precision=recipe.precision, sequence_length=sequence_length)
frozen = replace(frozen, seed=seed, epochs=min(frozen.epochs, 30 if profile != "smoke" else 2))
questions = {
    "the opening sentence: which topic?": (sentences, sequence_length),
    "the whole clause: which topic?": (whole, 128),
    "the whole licence: which category?": (by_category(), 128),
}
asked = []
with course.progress() as tell:
    for number, (question, (its, read)) in enumerate(questions.items()):
        tell(question, number / len(questions))
        asked.append(
            finetuning.ask(
                question, its, weights, replace(frozen, sequence_length=read), size, kind
            )
        )
finetuning.answers(asked)

# %% [markdown]
# (Classes and tests differ between the rows; compare within a row.) Where counting does well, think of what it has: in a
# whole clause the topic is said several times, and of a whole licence it sees every word, where our encoder reads the
# first 128 tokens, and any BERT 512. That is **truncation**; windows over the text, or a model for long texts, cost many
# times as much. In a single sentence words are few and often new; there it can help to know that *terminate* and *come to
# an end* mean much the same. Frozen, the encoder makes little of that; trained in full, it does (section 9).
#
# ## 11 · What makes it fast, what makes it small
#
# ### Exercise 7 · A batch that doesn't fit
#
# ★★☆ · 12 minutes · 2 points
#
# A recipe wants batches of a certain size, and the GPU has no room for one. **Gradient accumulation** cuts a
# batch into micro-batches, sends them through one after the other, adds up their gradients and only then moves
# the weights: the same step, in less memory. Some memory is taken whatever the batch: weights, gradients, the
# optimiser's states. The rest is shared by the texts that are in flight at once.
#
# In how many micro-batches of equal size must the batch be cut? Take as few as possible, since small ones use a
# chip badly. Memory that is filled exactly is enough. Not even one text may fit: then the answer is `None`.
#
# <details><summary>Hint: units</summary>
#
# 1 GiB is 1,024 MiB.
# </details>
# <details><summary>Hint for "too small": equal sizes</summary>
#
# With room for 10 texts, a batch of 48 needs five micro-batches at least; but 48 can't be cut into five equal
# ones. Try the next.
# </details>


# %% nbgrader={"grade": false, "grade_id": "accumulation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accumulation_steps(
    batch: int, fixed_mib: int, mib_per_text: int, memory_gib: int
) -> int | None:
    """Return the smallest number of equal micro-batches that fit, or None if no text does.

    batch: texts in one step; fixed_mib: memory that is taken whatever the batch, in MiB;
    mib_per_text: activations of one text, in MiB; memory_gib: of the GPU, in GiB.

    Example: batch=48, fixed_mib=1,248, mib_per_text=100, memory_gib=2: 800 MiB are left for 8
    texts at once: 6.
    """
    ### BEGIN SOLUTION
    room = (memory_gib * 1024 - fixed_mib) // mib_per_text
    for steps in range(1, batch + 1):
        if batch % steps == 0 and batch // steps <= room:
            return steps
    return None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-accumulation", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.accumulation_steps(accumulation_steps)
### BEGIN HIDDEN TESTS
assert accumulation_steps(32, 0, 32, 1) == 1
assert accumulation_steps(48, 24, 100, 1) == 6
assert accumulation_steps(7, 1000, 10, 1) == 7
assert accumulation_steps(7, 1000, 25, 1) is None
### END HIDDEN TESTS

# %% [markdown]
# Here is what each measure does to a step, one at a time, against a plain run (fp32, dropout as in pre-training,
# random order) on longer texts, whole clauses of up to 128 tokens: tokens a second and peak memory, measured now.
# **Gradient checkpointing** keeps only each layer's input and computes activations again; it has nothing to do with the
# checkpoints of section 13. **Think about it:** which of the measures change the result?

# %%
measured_on = sentences if profile == "smoke" else whole
with course.progress() as tell:
    timed = replace(recipe, batch=size.timed_batch)
    effects = finetuning.measures(weights, measured_on, timed, size.timed_steps, kind, tell)
finetuning_pictures.measures_compared(effects)

# %% [markdown]
# Half the precision and no dropout save time and often memory, buckets save time. Accumulation and gradient checkpointing
# save memory and cost time. These two leave the result as it is, but for rounding and other random masks; all the others
# train another model: as good a one, one hopes, and checks.
#
# ## 12 · What goes wrong
#
# ### Too little, too much
#
# Three trainings on few sentences, each with a name. Cover the titles and say which is which. What would you change in each?

# %%
trial = replace(recipe, epochs=size.trial_epochs)
experiments = {
    "too timid": replace(trial, learning_rate=1e-6, head_learning_rate=1e-4),
    "too bold": replace(trial, learning_rate=2e-3, head_learning_rate=2e-2),
    "by heart": replace(trial, epochs=2 * size.trial_epochs, learning_rate=3e-4),
}
curves = {}
with course.progress() as tell:
    for name, its in experiments.items():
        curves[name] = fine_tune(weights, tried_on, validation, its, device=kind, tell=tell).curve
evaluation_pictures.loss_curves(curves)

# %%
course.say("\n\n".join(f"**{name}**: {diagnose(curve).because}" for name, curve in curves.items()))

# %% [markdown]
# ### Learning rate and batch size
#
# Settings are chosen on the validation texts. Chosen on the test, they would be chosen for its luck as well.

# %%
grid = {}
with course.progress() as tell:
    for texts_a_step in size.batches:
        grid[texts_a_step] = {}
        for rate in size.rates:
            its = replace(trial, batch=texts_a_step, learning_rate=rate)
            answer = fine_tune(weights, tried_on, validation, its, device=kind, tell=tell).logits(
                validation.texts
            )
            grid[texts_a_step][rate] = interval(
                metrics.macro_f1, validation.labels, answer.argmax(axis=1), groups=validation.groups
            )
finetuning_pictures.sensitivity(grid)

# %% [markdown]
# Stars mark each batch size's best. Bands that overlap leave it open; what decides is the paired difference, as in
# exercise 6. With few sentences small batches make more steps of the same texts; larger ones often need a higher rate to
# get as far. Do yours?
#
# ### The luck of a seed, and rare topics
#
# The same recipe with other seeds, then with two mends for rare topics: weighing each sentence by how rare its topic
# is, or drawing rare topics more often. A mend is a setting too, so it is judged on the validation texts.

# %%
seeds = {f"seed {s}": replace(trial, seed=s) for s in range(seed, seed + size.seeds)}
first = f"seed {seed}"
mends = {
    "class weights": replace(trial, class_weights=True),
    "balanced sampling": replace(trial, balanced_sampling=True),
}

# %%
tried = {}
with course.progress() as tell:
    for name, its in (seeds | mends).items():
        answer = fine_tune(weights, tried_on, validation, its, device=kind, tell=tell).logits(
            validation.texts
        )
        tried[name] = answer.argmax(axis=1)
luck = [metrics.macro_f1(validation.labels, tried[name]) for name in seeds]
evaluation_pictures.scores_picture(
    {
        name: interval(metrics.macro_f1, validation.labels, its, groups=validation.groups)
        for name, its in tried.items()
    },
    {
        name: paired_difference(
            metrics.macro_f1, validation.labels, its, tried[first], groups=validation.groups
        )
        for name, its in tried.items()
        if name != first
    },
    against=first,
)

# %%
course.say(
    f"These {size.seeds} seeds alone move macro-F1 by {max(luck) - min(luck):.3f}; more seeds could only move it further."
    f" A mend that was tried with one seed may owe its gain to that: compare means over several seeds of each."
)

# %% [markdown]
# ### Which topics, which sentences
#
# A score hides what is wrong. The matrix shows it by topic, and the sentences show why.

# %%
evaluation_pictures.confusion_picture(
    metrics.confusion(test.labels, guesses["full fine-tuning"], len(texts.classes)), texts.classes
)

# %%
finetuning.mistakes(test, chances["full fine-tuning"], 8)

# %% [markdown]
# Read them before you read scores again. How many of these would you count as the model's mistakes, how many as the
# heading's?
#
# ### Can its probabilities be believed?
#
# If it says 90 %, is it right nine times in ten? A **temperature** divides all logits; the one that suits the
# validation texts best makes a model less, or more, sure of itself, without changing a guess
# ([Guo et al. 2017](https://arxiv.org/abs/1706.04599)). In the picture a mark on the line is as sure as it is right;
# below it, too sure. The **calibration error** is the mean distance, weighted by texts.

# %%
believed = {}
for name, model_of in {"TF-IDF": words, "BERT": full}.items():
    logits = model_of.logits(test.texts)
    temperature = best_temperature(model_of.logits(validation.texts), validation.labels)
    believed[name] = reliability(test.labels, probabilities(logits))
    believed[f"{name}, temperature {temperature:.2f}"] = reliability(
        test.labels, probabilities(logits, temperature)
    )
evaluation_pictures.reliability_picture(believed)

# %%
course.say(
    "Expected calibration error: "
    + "; ".join(f"{name}: {its.expected_calibration_error:.1%}" for name, its in believed.items())
    + "."
)

# %% [markdown]
# ## 13 · The machine is taken away
#
# ### Exercise 8 · What does a spot instance really cost?
#
# ★★★ · 15 minutes · 2 points
#
# Spot instances cost a fraction of the price, and can be taken away at any moment. (AWS warns two minutes ahead; better
# not to need it.) Who writes checkpoints loses only what was done since the last. Reckon like this:
#
# - a checkpoint is written once in `checkpoint_minutes` of work, and takes `checkpoint_seconds`, during which
#   no work is done;
# - interruptions come once in `hours_between_interruptions` on average, of work and of writing alike;
# - each loses half the work between two checkpoints on average, which is done again, and `restart_minutes`
#   for a new machine to start. All of it is paid for.
#
# Fractions count as they are: 2.1 interruptions are 2.1. Leave out interruptions of work that is done again,
# and of restarts; where interruptions are hours apart they change little.
#
# <details><summary>Hint: in which order?</summary>
#
# Of which hours do interruptions come? And what is lost by each, beside half the work between two checkpoints?
# </details>


# %% nbgrader={"grade": false, "grade_id": "spot", "locked": false, "schema_version": 3, "solution": true, "task": false}
def spot_usd(
    work_hours: float,
    usd_per_hour: float,
    hours_between_interruptions: float,
    checkpoint_minutes: float,
    checkpoint_seconds: float,
    restart_minutes: float,
) -> float:
    """Return the dollars that a training on a spot instance is expected to cost.

    work_hours: of training, undisturbed and without checkpoints; usd_per_hour: spot price;
    hours_between_interruptions: on average; checkpoint_minutes: of work, between two checkpoints;
    checkpoint_seconds: to write one; restart_minutes: after an interruption.

    Example: 10 h of work at $2, interrupted every 5 h, a checkpoint each 30 min in 90 s, restarts
    of 9 min: 10.5 h with writing, 2.1 interruptions of 24 min: 11.34 h, $22.68.
    """
    ### BEGIN SOLUTION
    checkpoints = work_hours * 60 / checkpoint_minutes
    hours = work_hours + checkpoints * checkpoint_seconds / 3600
    interruptions = hours / hours_between_interruptions
    lost_hours = interruptions * (checkpoint_minutes / 2 + restart_minutes) / 60
    return (hours + lost_hours) * usd_per_hour
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-spot", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab06.spot_usd(spot_usd)
### BEGIN HIDDEN TESTS
assert abs(spot_usd(1, 60, 1, 60, 0, 0) - 90) < 1e-9
assert abs(spot_usd(10, 1, 1e12, 60, 360, 5) - 11) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# **Think about it.** Checkpointing every minute wastes writing, every three hours it wastes work. Between them is
# a best interval; by [Young (1974)](https://doi.org/10.1145/361147.361115) it is about
# $\sqrt{2 \cdot t_\text{write} \cdot t_\text{between interruptions}}$. For writing of 10 s and an interruption
# every 5 h that are 10 minutes. Put 5, 10 and 20 minutes into your function: how flat is the bottom?

# %% [markdown]
# Now for real. A process trains and writes checkpoints; about two thirds of the way it is killed as hard as a process
# can be.
# Then the same call is made again, here. Beside it, the same training undisturbed.

# %%
short = replace(trial, epochs=2, deterministic=kind == "cuda")  # a GPU may else add in any order
steps = 2 * -(-len(tried_on) // batch)
killed = steps // 2 + max(1, steps // 4 - 1)
with tempfile.TemporaryDirectory() as folder, course.progress() as tell:
    saved = {"folder": Path(folder), "save_every": max(1, steps // 4), "device": kind}
    life = fine_tune_until_killed(
        weights, tried_on, validation, short, after=killed, **saved, tell=tell
    )
    again = fine_tune(weights, tried_on, validation, short, **saved, tell=tell)
undisturbed = fine_tune(weights, tried_on, validation, short, device=kind)
finetuning_pictures.interruption(
    list(enumerate(undisturbed.losses, 1)),
    [life.losses, list(enumerate(again.losses, 1))[life.checkpoint :]],
)

# %% [markdown]
# Grey is the undisturbed training, the cross the kill. Steps that were done twice lie on each other.

# %% tags=["nbval-check-output"]
same = np.array_equal(undisturbed.logits(test.texts[:50]), again.logits(test.texts[:50]))
course.say(
    f"The interrupted training says of 50 sentences, to the last bit, {'**the same**' if same else 'something else'}."
)

# %% [markdown]
# That takes more than saved weights: the optimiser's states, the schedule, the random numbers and the place in the
# order of texts belong to a checkpoint too. Each is sealed with checksums when it is complete, so that one that was cut
# off is never taken for whole.
#
# ## 14 · Hand it on
#
# Whoever packages the model (lab 10) needs what was trained, not the trainer. Is it the same when it is loaded again?

# %%
with tempfile.TemporaryDirectory() as folder:
    stored = {
        name: its.export(Path(folder) / name.replace(", ", "-")) for name, its in trained.items()
    }
    loaded = load_classifier(Path(folder) / "LoRA", weights, kind=kind)
    same = loaded.predict(test.texts[:50]) == trained["LoRA"].predict(test.texts[:50])
course.say(
    "; ".join(f"{name}: {format_bytes(size_bytes)}" for name, size_bytes in stored.items())
    + f" on disk. Loaded again, the adapters give {'the same answers' if same else '**other answers**'}."
)

# %% [markdown]
# ## 15 · Predicted beside measured
#
# A prediction is worth as much as is known of its error. All three were made before their trainings. (Of the frozen
# encoder only its one pass over the texts is predicted; the head's own training is left out.)

# %%
forecast_memory = finetuning.fullest_bytes(shape, chip, recipe, padded)
took_memory = single(figures.peak_tensor_bytes, "B")
took_training = {
    name: single(its.figures.training_seconds, "s", its.figures.doubt)
    for name, its in trained.items()
}
pictures.predicted_beside_measured(
    {name: (forecasts[name].training_seconds, took) for name, took in took_training.items()}
)

# %%
gap = figures.steps.value / forecast.step_seconds.value
grown = (
    f"; the whole process grew by {format_bytes(figures.peak_memory_bytes)}, as heaps keep holes"
)
course.say(
    f"A step took **{gap:.2f}** times what was predicted. In the largest step tensors held"
    f" {format_bytes(took_memory.value)}, **{took_memory.value / forecast_memory.value:.2f}** times what was"
    f" predicted{grown if kind == 'cpu' else ''}. Of the predicted step"
    f" {', '.join(f'{t / forecast.step_seconds.value:.0%} {name}' for name, t in forecast.step_seconds.terms.items())}."
    f" {figures.work.padding_share:.0%} of the tokens were padding. {figures.doubt}"
)

# %% [markdown]
# ## 16 · Keep the figures

# %%
took = time.perf_counter() - started
course.record(
    "06_bert_finetuning",
    device=chip.name,
    step_seconds=[forecast.step_seconds, figures.steps],
    training_seconds=[forecast.training_seconds, took_training["full fine-tuning"]],
    peak_memory_bytes=[forecast_memory, took_memory],
    macro_f1=finetuning.measured(scores["full fine-tuning"]),
    gain_over_tf_idf=finetuning.measured(gain),
    lab_memory_bytes=[Estimate(preflight.needs.memory_bytes, "B", "preflight"), resident_memory()],
    lab_seconds=[Estimate(preflight.seconds, "s", "preflight"), single(took, "s")],
)  # fmt: skip

# %% [markdown]
# ## What you can do now

# %%
course.say(
    f"With {len(labelled)} labelled sentences full fine-tuning differs from counted words by {gain.value:+.3f}"
    f" macro-F1 ({gain.low:+.3f} to {gain.high:+.3f}); LoRA keeps {kept:.0%} of its score in 1/"
    f"{figures.stored_bytes / lora.stored_bytes:,.0f} of its storage. For whole clauses and licences, with the encoder frozen, see the table of section 10."
)

# %% [markdown]
# You can answer both colleagues, each for the question that was asked. The GPU's bill is small (section 5), the lawyer's
# isn't; whoever needs fewer labels wins. And you know what you would have to see to change your mind: a paired difference
# whose lower end is above zero, on families that the model has never met, and larger than what the luck of a seed moves.
#
# What this lab doesn't say: a larger BERT, or one that was pre-trained on law, may move every line. Set `model` and look.
#
# **Before you go on**: set `sequence_length` to `16` and predict what happens to the step, the memory and the score.
