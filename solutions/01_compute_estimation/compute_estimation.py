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
# # Lab 01 · Compute estimation
#
# **What does it take to pre-train BERT on Wikipedia, and which AWS GPU instance should we rent?**
#
# Somebody in your company wants a language model of their own, trained from nothing. Before a
# dollar is spent you are asked four things: how much arithmetic is it, does it fit in memory, how
# long will it take, and what will the bill be? This lab answers all four, first with a pencil's
# worth of formulas, then with an estimator that says how sure it is; and it checks both against a
# clock and against what others have published.
#
# When you are done you can
#
# - count the parameters of a Transformer from its shape, exactly;
# - count the operations of training it, and know what the rule "6 N D" leaves out;
# - say what training keeps in memory, and which batch fits on which GPU;
# - turn operations into days and days into dollars, with an honest interval;
# - say where the time of a step goes, and what several GPUs change;
# - choose an instance under a deadline and a budget, and defend the choice.
#
# In the enterprise workflow this is the very first step: the estimate that decides whether there
# is a project at all. Eight exercises, 15 points, about 110 minutes with reading. You need no GPU,
# and no more than having once trained a small network.
#
# <details><summary>Words used in this lab</summary>
#
# - **Token**: a word or a piece of one; models read and predict tokens. A **sequence** is so many
#   tokens read together, a **batch** so many sequences that one step learns from.
# - **Transformer**: a stack of equal **layers**. In each, **attention** lets every token look at
#   the others (it makes *queries*, *keys* and *values* from each token and compares queries with
#   keys; it does so in several **heads**, each with its slice of the width), then an **MLP** works
#   on each token by itself; between its two linear layers **GELU**, a smooth step, lets large numbers
#   pass and holds back negative ones. A **layer norm** keeps numbers in range.
# - **Encoder** (BERT): every token sees all others; it is trained by hiding, *masking*, about one
#   token in seven and guessing it. **Decoder** (GPT): a token sees only those before it and guesses
#   the next. The **output head** turns a token's vector into a guess over the vocabulary; BERT's
#   **pooler** sums up the sequence from its first token, and its **token types** tell a first
#   sentence from a second.
# - **FLOP**: one floating-point operation; **FLOP/s**: operations a second. G, T, P, E: 10⁹, 10¹²,
#   10¹⁵, 10¹⁸. **fp32, tf32, fp16, bf16**: number formats; 16 bits are faster and take half the room.
# - **On demand**: the price without commitment, by the hour, for an **instance**, a rented machine.
# </details>

# %% tags=["parameters"]
from typing import Annotated, Literal

from annotated_types import Interval

profile: Literal["smoke", "full"] = "smoke"  # smoke: seconds on two cores; full: a longer clock
model: str = "bert-base-uncased"  # a Transformer of the catalogue
instance: str = "p4d.24xlarge"  # the EC2 instance to look at closely
sequence_length: Annotated[int, Interval(ge=1, le=1_000_000)] = 128  # tokens in a sequence
global_batch: Annotated[int, Interval(ge=1, le=1_000_000)] = 256  # sequences in one optimizer step
steps: Annotated[int, Interval(ge=1, le=1_000_000_000)] = 1_000_000  # optimizer steps

# %%
import math
import time

import numpy as np

from enterprise_lab import catalog, costing, course, estimate
from enterprise_lab.catalog.nodes import node_of_instance
from enterprise_lab.course import lab01, pictures, time_pictures
from enterprise_lab.course.what_if import WhatIf
from enterprise_lab.estimate.validation import held_out, scores
from enterprise_lab.measure.devices import resident_memory
from enterprise_lab.measure.matmul import matmul_rate
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.units import DAY, GIB, HOUR, format_seconds, format_si, format_usd

started = time.perf_counter()
preflight = course.preflight("01_compute_estimation", profile)
preflight

# %% [markdown]
# That is what this machine has, and how long the lab's own computing will take here. Now the
# question itself. Write down a guess before you run the next cell: training BERT-base took its
# authors a million steps. On a rented machine with eight A100 GPUs (a p4d.24xlarge), is that
# **hours, days or weeks**? And is the bill nearer **100, 1,000 or 10,000 dollars**?
#
# Then play. The panel's picture shows time and cost against the number of instances, whiskers an
# interval that should hold the truth four times in five. Do two instances take half the time? Does
# a larger batch change that? (The same work is then done in fewer steps: when the batch grows, lower
# the steps by the same factor.)
# In exercise 7 you will compute such a bill with your own functions only.

# %%
shape = catalog.model(model).shape
# BERT's recipes run the output head on the masked tokens only, decoders on every token.
predicted_share = estimate.GATHERED_SHARE if shape.kind == "encoder" else 1.0
candidates = ["g4dn.12xlarge", "g5.12xlarge", "g6e.xlarge", "p3.8xlarge", "p4d.24xlarge"]
candidates += ["p5.48xlarge"] + ([instance] if instance not in candidates else [])

WhatIf(
    shape,
    candidates,
    sequence_length=sequence_length,
    global_batch=global_batch,
    steps=steps,
    predicted_share=predicted_share,
)


# %%
def time_of_two(batch: int) -> str:
    """Say how long two instances take for the same sequences, beside what one takes."""
    one, two = (
        costing.training_options(
            shape,
            [instance],
            sequence_length=sequence_length,
            global_batch=batch,
            tokens=steps * global_batch * sequence_length,
            count=count,
            predicted_share=predicted_share,
        )
        for count in (1, 2)
    )
    ratio = next(iter(two)).seconds / next(iter(one)).seconds
    return f"{ratio:.2f} times as long as one" if math.isfinite(ratio) else "can't do it"


# %% tags=["nbval-check-output"]
course.say(
    f"The same sequences on two {instance}: {time_of_two(global_batch)}; with a batch eight times as"
    f" large: {time_of_two(8 * global_batch)}. After every step all GPUs exchange"
    " their gradients, and between instances that goes over a network which is slow beside the links"
    " inside one: where steps are short, two can take longer than one. A larger batch has more work"
    " between two exchanges."
)

# %% [markdown]
# ## 1 · Parameters: how big is the model?
#
# Everything follows from a model's **shape**: how many layers, how wide, how many words it knows.

# %% tags=["nbval-check-output"]
catalog.model(model)

# %% [markdown]
# With hidden width $d$, MLP width $f$, $L$ layers, a vocabulary of $V$ and $P$ positions, an
# encoder like BERT is made of these tables and linear layers. A linear layer from $a$ to $b$ has
# $ab$ weights and $b$ biases; a layer norm has $2d$ parameters.
#
# | part | consists of |
# |---|---|
# | embeddings | one vector of $d$ a word, a position, and a token type; one layer norm |
# | each layer: attention | four linear layers from $d$ to $d$ (queries, keys, values, output) |
# | each layer: MLP | one linear layer from $d$ to $f$ and one back |
# | each layer: norms | two layer norms |
# | pooler, once | one linear layer from $d$ to $d$ |
#
# Which part do you expect to be the largest: attention, the MLP or the embeddings?

# %%
shapes = {name: catalog.model(name).shape for name in ("bert-base-uncased", "bert-large-uncased")}
pictures.parameter_shares(shapes | {"gpt2": catalog.model("gpt2").shape, model: shape})

# %% [markdown]
# ### Exercise 1 · Count the parameters
#
# ★★☆ · 20 minutes · 2 points
#
# Write the exact number of parameters of a BERT encoder as a function of its shape, from the table
# above. Not a rule of thumb: to the integer.
#
# <details><summary>Hint for "too small": where do parameters hide?</summary>
#
# In biases and norms. Take the table row by row and write down weights and biases for each linear
# layer; then count how many layer norms the whole model has.
# </details>
# <details><summary>Hint: how do I check a part by itself?</summary>
#
# `shape.parameter_terms` holds the count of each part for the model of this lab.
# </details>


# %% nbgrader={"grade": false, "grade_id": "parameters", "locked": false, "schema_version": 3, "solution": true, "task": false}
def count_parameters(
    layers: int, hidden: int, ffn: int, vocabulary: int, positions: int, token_types: int
) -> int:
    """Count the parameters of a BERT encoder with its pooler.

    layers: number of layers; hidden: width d; ffn: width of the MLP; vocabulary, positions,
    token_types: rows of the three embedding tables. Returns the exact number.

    Example: a tiny encoder with layers=1, hidden=2, ffn=4, vocabulary=10, positions=3 and
    token_types=2 has 94 parameters, 34 of them in the embeddings.
    """
    ### BEGIN SOLUTION
    embeddings = (vocabulary + positions + token_types) * hidden + 2 * hidden
    attention = 4 * (hidden * hidden + hidden)
    mlp = hidden * ffn + ffn + ffn * hidden + hidden
    norms = 2 * 2 * hidden
    pooler = hidden * hidden + hidden
    return embeddings + layers * (attention + mlp + norms) + pooler
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-parameters", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.parameters(count_parameters)
### BEGIN HIDDEN TESTS
assert count_parameters(12, 768, 3072, 30522, 512, 2) == 109_482_240
assert count_parameters(24, 1024, 4096, 30522, 512, 2) == 335_141_888
assert count_parameters(12, 768, 3072, 28996, 512, 2) == 108_310_272
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Operations: how much arithmetic is it?
#
# A **FLOP** is one floating-point operation. Multiplying a vector of $a$ numbers by an $a \times b$
# matrix takes $ab$ multiplications and as many additions: $2ab$ FLOPs. So in the forward pass each
# weight of a linear layer costs 2 FLOPs for each token.
#
# Going backward costs twice as much: one product for the gradient of the layer's input, one for
# the gradient of its weights. Together: **6 FLOPs for each weight and token**, which is the rule
# of thumb $6ND$ for $N$ parameters and $D$ tokens.
#
# The rule errs in two directions. It leaves out that attention multiplies activations with each
# other: in a sequence of $s$ tokens, queries times keys is an $s \times d$ by $d \times s$ product,
# $2s^2d$ FLOPs forward in each layer, and scores times values is another. And it counts embedding
# tables as if they were multiplied, while they are only looked up.

# %% tags=["nbval-check-output"]
per_sequence = estimate.training_flops(
    shape, sequence_length=sequence_length, predicted_share=predicted_share
)
tokens = steps * global_batch * sequence_length
wikipedia_words = 2.5e9  # Devlin et al. 2019, section 3.1
total_flops = sum(per_sequence.values()) * steps * global_batch
rule = estimate.rule_of_thumb_flops(shape.parameters, tokens)
heavier = "embedding tables it counts for every token weigh more than the scores it leaves out"
if rule < total_flops:
    heavier = "scores it leaves out weigh more than the embedding tables it counts"
course.say(
    f"{steps:,} steps of {global_batch} sequences of {sequence_length} tokens are"
    f" {tokens / 1e9:.1f} billion tokens. English Wikipedia had {wikipedia_words / 1e9} billion"
    f" words ([Devlin et al. 2019](https://arxiv.org/abs/1810.04805)); taking a token for a word,"
    f" the model reads it {tokens / wikipedia_words:.0f} times over. The work:"
    f" **{format_si(total_flops, 'FLOP')}**, with the output head on {100 * predicted_share:.0f} % of"
    f" the tokens, as the usual recipes run it. The rule of thumb says {format_si(rule, 'FLOP')},"
    f" {100 * (rule / total_flops - 1):+.0f} %: here the {heavier}."
)

# %% [markdown]
# **Think about it.** The picture below repeats the count for longer sequences, always for *one*
# token. Linear layers cost the same for every token. What happens to the attention scores when
# sequences become four times as long? Decide, then look.

# %%
longest = shape.max_positions or 4096
lengths = [n for n in (64, 128, 256, 512, 1024, 2048, 4096) if n <= longest]
pictures.flops_by_length(shape, lengths, predicted_share=predicted_share)

# %% tags=["nbval-check-output"]
counts = [
    estimate.training_flops(shape, sequence_length=n, predicted_share=predicted_share)
    for n in (longest // 4, longest)
]
score_flops = [
    count["attention scores"] / n for count, n in zip(counts, (longest // 4, longest), strict=True)
]
score_shares = [100 * count["attention scores"] / sum(count.values()) for count in counts]
course.say(
    f"A token looks at four times as many others, so its scores cost"
    f" {score_flops[1] / score_flops[0]:.0f} times as much: from {longest // 4} to {longest} tokens"
    f" they grow from {score_shares[0]:.0f} to {score_shares[1]:.0f} % of all operations."
)

# %% [markdown]
# ### Exercise 2 · FLOPs of training
#
# ★★★ · 25 minutes · 3 points
#
# Count the FLOPs of training on some sequences, forward and backward. To keep it short, the model
# here is the plain one: $L$ layers of attention (four $d \times d$ matrices) and MLP (one $d \times f$,
# one $f \times d$), attention scores over the whole sequence, and an output head from $d$ to the
# vocabulary $V$ that runs on every token. Leave out biases, norms and look-ups: they are not matrix
# products and come to well under a percent.
#
# <details><summary>Hint for "too small": which factor?</summary>
#
# Divide your answer for a large model by (weights × tokens). If you see 2, 3 or 4 instead of a
# little over 6, ask which pass, or which half of a multiply-add, is missing.
# </details>
# <details><summary>Hint: attention scores</summary>
#
# There are two products without weights in each layer. Both have $s \times s$ on one side. Count
# one sequence, then multiply.
# </details>


# %% nbgrader={"grade": false, "grade_id": "flops", "locked": false, "schema_version": 3, "solution": true, "task": false}
def training_flops(
    layers: int, hidden: int, ffn: int, vocabulary: int, sequence_length: int, sequences: int
) -> int:
    """Count the FLOPs of training on `sequences` sequences of `sequence_length` tokens.

    One multiply-add is two FLOPs; backward costs twice forward.

    Example: layers=1, hidden=2, ffn=4, vocabulary=10 and one sequence of 3 tokens take 1,152
    FLOPs.
    """
    ### BEGIN SOLUTION
    weights = layers * (4 * hidden * hidden + 2 * hidden * ffn) + hidden * vocabulary
    scores = layers * 2 * sequence_length * hidden
    forward_per_token = 2 * (weights + scores)
    return 3 * forward_per_token * sequence_length * sequences
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-flops", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.training_flops(training_flops)
### BEGIN HIDDEN TESTS
assert training_flops(1, 2, 4, 10, 3, 1) == 1_152
assert training_flops(12, 768, 3072, 50257, 1024, 1) == 3 * 291_648_307_200
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · Memory: does it fit?
#
# Running a model needs its weights. Training it needs much more. In **mixed precision** with the
# optimizer Adam, each parameter has
#
# | state | bytes | why |
# |---|---:|---|
# | weight, 16 bits | 2 | what the matrix units multiply |
# | gradient, 16 bits | 2 | what backward leaves behind |
# | master weight, 32 bits | 4 | small updates would vanish in 16 bits |
# | Adam's first moment, 32 bits | 4 | the running mean of its gradient |
# | Adam's second moment, 32 bits | 4 | the running mean of the gradient squared |
#
# Datasheets count in GB, 10⁹ bytes; operating systems and cloud consoles in **GiB**, 2³⁰ bytes.
# The difference is more than enough to run out of memory. (For a GPU's memory, this lab takes what
# EC2 states, in GiB.)
#
# ### Exercise 3 · Memory of the states
#
# ★☆☆ · 5 minutes · 1 point
#
# How many GiB do all the states of a model with so many parameters take?


# %% nbgrader={"grade": false, "grade_id": "states", "locked": false, "schema_version": 3, "solution": true, "task": false}
def state_memory_gib(parameters: int) -> float:
    """Return the GiB of all states of mixed-precision Adam, from the table above.

    Example: a model of 2**30 parameters keeps 16 GiB.
    """
    ### BEGIN SOLUTION
    return parameters * (2 + 2 + 4 + 4 + 4) / 2**30
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-states", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.state_memory(state_memory_gib)
### BEGIN HIDDEN TESTS
assert state_memory_gib(2**30) == 16
assert abs(state_memory_gib(7_500_000_000) * 2**30 / 1e9 - 120) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# States are not all. Backward needs what forward computed, so every layer keeps its **activations**
# until then. How many depends on the **micro-batch**: the sequences a device works on at once. What
# doesn't fit at once is done in turns, gradients added up, until the whole batch is through. In 16
# bits, a layer of width $d$ with $a$ heads keeps for a micro-batch of $b$ sequences of $s$ tokens
#
# $$ s\,b\,d \left(34 + 5\,\frac{a\,s}{d}\right) \text{ bytes} $$
#
# ([Korthikanti et al. 2022](https://arxiv.org/abs/2205.05198), equation 2; dropout masks take one
# byte an element). The second term is
# the table of attention scores: it grows with the *square* of the sequence length.
#
# ### Exercise 4 · Memory of the activations
#
# ★☆☆ · 5 minutes · 1 point
#
# How many GiB of activations does the whole model keep?
#
# <details><summary>Hint for "too large" or "too small" by the same factor everywhere</summary>
#
# The formula gives *bytes* of *one layer* for the *whole micro-batch*.
# </details>


# %% nbgrader={"grade": false, "grade_id": "activations", "locked": false, "schema_version": 3, "solution": true, "task": false}
def activation_gib(
    layers: int, hidden: int, heads: int, sequence_length: int, micro_batch: int
) -> float:
    """Return the GiB of activations all layers keep for one micro-batch, in 16 bits.

    Example: layers=2, hidden=64, heads=4, sequence_length=32, micro_batch=8 keeps 1,441,792
    bytes, about 0.00134 GiB.
    """
    ### BEGIN SOLUTION
    tokens = sequence_length * micro_batch
    per_layer = tokens * hidden * (34 + 5 * heads * sequence_length / hidden)
    return layers * per_layer / 2**30
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-activations", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.activations(activation_gib)
### BEGIN HIDDEN TESTS
assert abs(activation_gib(2, 64, 4, 32, 8) * 2**30 - 1_441_792) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# **Think about it.** BERT-large at 512 tokens: how many sequences at once would you dare on the V100
# of a p3 instance? And on the A100 of a p4d? Decide, then look.

# %%
picture_shape = catalog.model("bert-large-uncased").shape if shape.kind == "encoder" else shape
pictures.memory_by_batch(
    picture_shape,
    [1, 2, 4, 8, 16, 32],
    sequence_length=512,
    predicted_share=predicted_share,
    devices={
        f"{it.accelerator}: {it.accelerator_memory_bytes / GIB:.0f} GiB": it.accelerator_memory_bytes
        for it in (catalog.instance("p3.8xlarge"), catalog.instance("p4d.24xlarge"))
    },
)

# %% tags=["nbval-check-output"]
rooms = [catalog.instance(name).accelerator_memory_bytes for name in ("p3.8xlarge", "p4d.24xlarge")]
most = [
    estimate.largest_micro_batch(
        picture_shape,
        memory_bytes=0.9 * room,
        sequence_length=512,
        at_most=32,
        predicted_share=predicted_share,
    )
    for room in rooms
]
course.say(
    f"{most[0]} on the V100 and {most[1]} on the A100, of the sizes in the picture and below the dotted"
    f" lines. The A100 has {rooms[1] / rooms[0]:.1f} times the memory and takes"
    f" {most[1] / most[0]:.0f} times as many: the states are the same on both, only the rest is left"
    " for activations."
)

# %% [markdown]
# The bars are states, activations, and what frameworks add: buffers that come and go, their own
# kernels, gaps between blocks. Even so an estimate errs, so nobody plans to fill a GPU to the brim:
# this lab plans for nine tenths of it, the dotted lines.
#
# ## 4 · Time: how long will it take?
#
# A GPU's datasheet has a **peak** rate. Nobody reaches it. Small matrices don't fill the chip;
# between the products come norms, softmax and activation functions that wait for memory; GPUs wait
# for each other; and starting all this takes time of its own.

# %% tags=["nbval-check-output"]
chips = ("T4", "A10G", "V100-SXM2-16GB", "A100-SXM4-40GB")
catalog.Listing([catalog.accelerator(name) for name in chips])

# %% [markdown]
# So the kit takes a step apart: each product at the rate that products of its size reach, each pass
# over memory at the memory's bandwidth, each exchange between GPUs at the rate of their links, and
# an overhead: the same tens of milliseconds a step on every chip, for launching work and for what the
# program does between. On fast chips with a small batch it is most of the step. Datasheets give most
# of these figures. The few that they don't were fitted to speeds
# that others have published and steps that we have measured.
#
# **Think about it.** Multiplying matrices is nearly all of the arithmetic. Is it also nearly all of
# the time? On which chip more, the slowest or the fastest? Decide, then look.

# %%
options = costing.training_options(
    shape,
    candidates,
    sequence_length=sequence_length,
    global_batch=global_batch,
    tokens=tokens,
    predicted_share=predicted_share,
)
chosen = options.named(instance)
time_pictures.step_terms(options)

# %% tags=["nbval-check-output"]
step, reached = chosen.training.step_seconds, chosen.training.mfu
products = step.terms["matrix products"] + step.terms.get("output head", 0)
larger = costing.training_options(
    shape,
    [instance],
    sequence_length=sequence_length,
    global_batch=8 * global_batch,
    tokens=tokens,
    predicted_share=predicted_share,
).named(instance)
course.say(
    f"A step on {instance} takes {step}, {100 * products / step.value:.0f} % of it in matrix products"
    f" with weights and {100 * step.terms['overhead'] / step.value:.0f} % in overhead,"
    f" {format_seconds(step.terms['overhead'])} a step on every chip. What comes out, and"
    f" doesn't go in, is the share of peak that is reached (MFU,"
    f" model FLOPs utilisation): {100 * reached.value:.0f} %"
    f" ({100 * reached.low:.0f} to {100 * reached.high:.0f} %). A faster chip shortens only what it"
    f" is faster at, so its share of peak is often the lower one. Steps of eight times as many"
    f" sequences would reach {100 * larger.training.mfu.value:.0f} %: what each step takes beside its"
    f" arithmetic is then spread over more of it."
)

# %% tags=["nbval-check-output"]
product_shares = {
    option.instance.name: (it["matrix products"] + it.get("output head", 0)) / sum(it.values())
    for option in options
    if option.training and (it := option.training.step_seconds.terms)
}
ends = [f(product_shares, key=product_shares.get) for f in (max, min)]
course.say(
    f"Products with weights take the largest share of the time on {ends[0]},"
    f" {100 * product_shares[ends[0]]:.0f} %, and the smallest on {ends[1]},"
    f" {100 * product_shares[ends[1]]:.0f} %: the faster a chip multiplies, the more of its time goes"
    " into everything else."
)

# %% [markdown]
# Is that right? Triangles below are speeds of BERT-large pre-training that
# [NVIDIA has published](https://github.com/NVIDIA/DeepLearningExamples), turned into shares of peak
# with the FLOPs counted above. Below each is what we would have said: predicted from the *other*
# frameworks' rows, so that no row helps to predict itself or its siblings. (PyTorch's rows of 512
# tokens are missing: they are nearly as fast in tokens as those of 128, so padding was likely skipped,
# and the catalogue leaves them out.)

# %%
held = {row.id: row for row in held_out() if row.family == "encoder training"}
large = catalog.model("bert-large-uncased").shape
shares, at_peak, covered = [], [], []
for run in catalog.training_speeds():
    if run.id in held and run.workload == "pretraining" and run.precision == "fp16":
        flops = estimate.training_flops(
            large, sequence_length=run.sequence_length, predicted_share=estimate.GATHERED_SHARE
        )
        peak = run.devices * catalog.accelerator(run.accelerator).peak_flops("fp16")
        published = sum(flops.values()) * run.samples_per_second / peak
        predicted = published * held[run.id].observed / held[run.id].predicted
        place = (run.accelerator, run.framework, run.sequence_length)
        shares.append(time_pictures.Share(*place, published, predicted))
        at_peak.append(published * held[run.id].observed)
        covered.append(held[run.id].covered)
time_pictures.shares_of_peak(shares)

# %% tags=["nbval-check-output"]
off = [abs(share.predicted / share.published - 1) for share in shares]
brief = [row for row in held.values() if row.observed < 0.5]  # seconds
briefest = min(row.observed for row in brief)
course.say(
    f"Half of these {len(shares)} predicted shares are within {100 * np.median(off):.0f} % of the"
    f" published ones, and {sum(covered)} lie inside their 80 % interval. That is a verdict on"
    f" products, memory and exchanges, hardly on the overhead: even at peak, the shortest of these steps"
    f" would take {format_seconds(min(at_peak))} (and ours, of which we expect"
    f" {100 * reached.value:.0f} % of peak, {format_seconds(reached.value * step.value)}). Of"
    f" {len(brief)} published BERT-large steps (fine-tuning, too) of less than half a second we are"
    f" within {100 * np.median([abs(row.error) for row in brief]):.0f} % on half, and"
    f" {sum(row.covered for row in brief)} lie inside their interval. The shortest took"
    f" {format_seconds(briefest)}, ours is to take {format_seconds(step.value)}: "
    + ("none is as short, so trust ours less." if briefest > step.value else "some are as short.")
)

# %% tags=["nbval-check-output"]
alike = [s for s in shares if s.chip == "A100-SXM4-80GB" and s.sequence_length == 128]
by_framework = {
    name: np.median([s.published for s in alike if s.framework == name])
    for name in sorted({s.framework for s in alike})
}
course.say(
    "Same model, same chip (A100, 80 GB), same sequence length: "
    + ", ".join(f"{100 * share:.0f} % of peak with {name}" for name, share in by_framework.items())
    + ". Nothing on a datasheet tells the two apart. That is why every time in this lab comes with"
    " an **80 % interval**: as wide as predictions of published runs were off, and wider where no"
    " run is alike."
)

# %% [markdown]
# ### Exercise 5 · Days
#
# ★☆☆ · 5 minutes · 1 point
#
# With a pencil, then. How many days does a run take, from its operations, the devices, their peak
# and the efficiency, the share of peak it reaches?
#
# <details><summary>Hint: check the units</summary>
#
# FLOP divided by FLOP/s is seconds. 1 TFLOP/s is 10¹² FLOP/s. Is your answer shorter when there
# are more devices, and longer when the efficiency is lower?
# </details>


# %% nbgrader={"grade": false, "grade_id": "time", "locked": false, "schema_version": 3, "solution": true, "task": false}
def training_days(flops: float, devices: int, peak_tflops: float, efficiency: float) -> float:
    """Return the days a training run takes.

    flops: all of its operations; peak_tflops: peak of one device in TFLOP/s; efficiency: share of
    peak reached, between 0 and 1.

    Example: 8.64e18 FLOPs on 4 devices of 100 TFLOP/s at 0.25 take 1 day.
    """
    ### BEGIN SOLUTION
    seconds = flops / (devices * peak_tflops * 1e12 * efficiency)
    return seconds / (24 * 3600)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-time", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.training_time(training_days)
### BEGIN HIDDEN TESTS
assert abs(training_days(8.64e18, 4, 100.0, 0.25) - 1) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## 5 · Money: what will the bill be?
#
# A cloud rents whole **instances** by the hour: a p4d.24xlarge is eight A100s with the processors,
# memory and network around them, at one price. Prices move, so every price here has a date.
#
# **Think about it.** Here are the candidates. A T4 (g4dn) is by far the cheapest GPU to rent for an
# hour. Which instance gives the most operations for a dollar, if all reach the same share of peak?

# %% tags=["nbval-check-output"]
lines = [
    "| instance | GPUs | all peaks together | price an hour | as of |",
    "|---|---|---:|---:|---|",
]
for name in candidates:
    it, price = catalog.instance(name), catalog.price(name)
    chip = catalog.accelerator(it.accelerator)
    peak = format_si(it.accelerator_count * chip.peak_flops("fp16"), "FLOP/s")
    mark = " (unverified)" if "fp16_tflops" in chip.unverified else ""
    lines += [
        f"| {name} | {it.accelerator_count:.0f} x {chip.name} | {peak}{mark}"
        f" | {format_usd(price.usd_per_hour)} | {price.date} |"
    ]
course.say("\n".join(lines))

# %% [markdown]
# ### Exercise 6 · The bill
#
# ★☆☆ · 5 minutes · 1 point
#
# What does it cost to rent some instances for some days? (You are told how many GPUs an instance
# has; whether you need that is for you to say.)


# %% nbgrader={"grade": false, "grade_id": "bill", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bill_usd(days: float, instances: int, usd_per_hour: float, devices_per_instance: int) -> float:
    """Return the on-demand bill in dollars.

    usd_per_hour: price of one instance; devices_per_instance: GPUs it has.

    Example: 2 instances of 8 GPUs at 10 dollars an hour for half a day cost 240 dollars.
    """
    ### BEGIN SOLUTION
    return days * 24 * instances * usd_per_hour
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-bill", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.bill(bill_usd)
### BEGIN HIDDEN TESTS
assert abs(bill_usd(0.5, 2, 10.0, 8) - 240) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 7 · The whole bill
#
# ★★☆ · 10 minutes · 3 points
#
# You have all the parts. BERT was trained in two phases, first on short sequences, which are cheap,
# then on long ones. Put your functions of exercises 2, 5 and 6 together: what does such a run cost
# on one instance?


# %% nbgrader={"grade": false, "grade_id": "whole", "locked": false, "schema_version": 3, "solution": true, "task": false}
def whole_bill_usd(
    layers: int,
    hidden: int,
    ffn: int,
    vocabulary: int,
    phases: list[tuple[int, int]],
    devices: int,
    peak_tflops: float,
    efficiency: float,
    usd_per_hour: float,
) -> float:
    """Return the dollars for training the model of exercise 2 on one instance.

    phases: one (sequence_length, sequences) after the other; devices, peak_tflops: GPUs of the
    instance and the peak of each; usd_per_hour: price of the instance.

    Example: layers=1, hidden=2, ffn=4, vocabulary=10, phases=[(3, 10**15)] on 8 devices of 100
    TFLOP/s at 0.2 for 10 dollars an hour cost 20 dollars.
    """
    ### BEGIN SOLUTION
    flops = sum(
        training_flops(layers, hidden, ffn, vocabulary, length, sequences)
        for length, sequences in phases
    )
    days = training_days(flops, devices, peak_tflops, efficiency)
    return bill_usd(days, 1, usd_per_hour, devices)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-whole", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.whole(whole_bill_usd)
### BEGIN HIDDEN TESTS
assert abs(whole_bill_usd(1, 2, 4, 10, [(3, 10**15)], 8, 100.0, 0.2, 10.0) - 20) < 1e-9
assert abs(whole_bill_usd(1, 2, 4, 10, [(3, 10**15)] * 2, 8, 100.0, 0.2, 10.0) - 40) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# Here is the kit's own estimate for every candidate, all sequences of one length, from the steps of
# section 4. Each device takes the largest micro-batch that its memory allows, at most its share of
# the batch; where not even one sequence fits, the table says what was done about it.

# %% tags=["nbval-check-output"]
options

# %% [markdown]
# Cheap and fast are not the same. Say the deadline lies halfway, on the picture's scale, between the
# fastest and the slowest; the budget halfway between the cheapest and the dearest, or at what the
# cheapest in time costs where that is more. Grey is too late or too dear. Instances marked *retiring*
# are on their way out at AWS: they stay in table and picture, but nobody should plan on them, so
# neither do we.

# %%
rentable = costing.Options(tuple(o for o in options if o.instance.status == "current"))
times = [option.seconds for option in rentable if option.training]
deadline = math.sqrt(min(times) * max(times))
bills = [option.usd for option in rentable if option.training]
in_time = rentable.cheapest(deadline_seconds=deadline)
budget = max(in_time.usd, math.sqrt(min(bills) * max(bills)))
time_pictures.time_and_cost(options, deadline_seconds=deadline, budget_usd=budget)

# %% [markdown]
# ### Exercise 8 · Choose
#
# ★★☆ · 10 minutes · 3 points
#
# Write the rule: of the options that fit in memory, finish by the deadline and stay within the
# budget, take the one that costs least. If there is none, say so with `None`: a wrong promise is
# worse.
#
# <details><summary>Hint: in which order?</summary>
#
# First throw out what can't be, then compare what is left, by dollars for the whole job.
# </details>


# %% nbgrader={"grade": false, "grade_id": "choice", "locked": false, "schema_version": 3, "solution": true, "task": false}
def choose_instance(options: list[dict], deadline_hours: float, budget_usd: float) -> str | None:
    """Return the name of the cheapest option that does the job, or None.

    Each option is a dict with name, device_gib (memory of a device that may be planned
    for), needed_gib (what a device must hold), hours (for the whole job) and
    usd_per_hour (of the instance). Just enough memory, just in time and just within the budget are
    good enough.

    Example: of {"name": "a", "device_gib": 16, "needed_gib": 12, "hours": 10, "usd_per_hour": 3}
    and one called "b" with 40, 12, 2 and 20, "a" costs 30 dollars and "b" 40: "a" it is, unless
    the deadline is under 10 hours.
    """
    ### BEGIN SOLUTION
    cost = {option["name"]: option["hours"] * option["usd_per_hour"] for option in options}
    possible = [
        option["name"]
        for option in options
        if option["needed_gib"] <= option["device_gib"]
        and option["hours"] <= deadline_hours
        and cost[option["name"]] <= budget_usd
    ]
    return min(possible, key=cost.get, default=None)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-choice", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab01.choice(choose_instance)
### BEGIN HIDDEN TESTS
one = {"name": "a", "device_gib": 16, "needed_gib": 12, "hours": 10, "usd_per_hour": 3}
two = {"name": "b", "device_gib": 40, "needed_gib": 12, "hours": 2, "usd_per_hour": 20}
assert choose_instance([one, two], 24, 100) == "a"
assert choose_instance([one, two], 5, 100) == "b"
assert choose_instance([one, two], 1, 100) is None
### END HIDDEN TESTS

# %% tags=["nbval-check-output"]
cheapest = rentable.cheapest()


def in_hours(seconds: estimate.Estimate) -> str:
    """Write a time and its interval in hours, as the picture has them."""
    low, value, high = (x / HOUR for x in (seconds.low, seconds.value, seconds.high))
    return f"{value:,.0f} hours ({low:,.0f} to {high:,.0f})"


sure = "inside it" if in_time.training.training_seconds.high <= deadline else "across it"
course.say(
    f"With all the time in the world, rent **{cheapest.instance.name}**: {cheapest.cost}, in"
    f" {in_hours(cheapest.training.training_seconds)}. For the deadline of {deadline / HOUR:,.0f} hours,"
    f" rent **{in_time.instance.name}**: {in_time.cost}, in"
    f" {in_hours(in_time.training.training_seconds)}; its interval of time lies {sure}. (All"
    f" estimated, without instances that are retiring.)"
    f" Where intervals overlap, the table can't decide. Half an hour on each can."
)

# %% [markdown]
# ### Several GPUs: how should they share the work?
#
# Each can take a part of the batch (**data parallel**), and keep only a part of the states (**ZeRO**);
# all can work on each product together (**tensor parallel**), or each on some of the layers
# (**pipeline parallel**); each can forget activations and compute them again (**recomputation**).
# ZeRO 1 shares out what the optimizer keeps, ZeRO 2 the gradients too, ZeRO 3 the weights too;
# *selective* recomputation computes again only what attention scores leave behind, *full* all of it.
#
# Here is every combination for 100,000 steps of 256 sequences of 512 tokens with BERT-large, on up to
# eight GPUs of a kind, as if GPUs were rented one by one. Small dots on one slanted line have the same
# number of GPUs: cost is time times their price.
#
# **Think about it.** Eight GPUs cost eight times as much an hour as one. And for the job?

# %%
found = {}
for name in ("p3.16xlarge", "p4d.24xlarge"):
    it = catalog.instance(name)
    found[it.accelerator] = estimate.plans(
        large,
        devices=(1, 2, 4, 8),
        accelerator=it.accelerator,
        node=node_of_instance(it),
        global_batch=256,
        sequence_length=512,
        tokens=100_000 * 256 * 512,
        precision="fp16",
        predicted_share=estimate.GATHERED_SHARE,
        flash_attention=False,
    )
time_pictures.plan_front(found)

# %% tags=["nbval-check-output"]
lines = [
    "| | plans that fit | fastest | time | cost | slowest on as many |",
    "|---|---:|---|---:|---:|---:|",
]
for name, plans in found.items():
    best = plans.fastest
    how = f"{best.plan.data} data x {best.plan.tensor} tensor x {best.plan.pipeline} pipeline, ZeRO {best.plan.zero}"
    slowest = plans.seconds[plans.devices == best.devices].max() / best.step_seconds.value
    lines += [
        f"| {name} | {plans.fitting:,} of {plans.considered:,} | {how}, micro-batch"
        f" {best.plan.micro_batch}, {best.plan.recompute} recomputed | {best.training_seconds}"
        f" | {best.training_usd} | {slowest:.0f} times slower |"
    ]
course.say("\n".join(lines))

# %% [markdown]
# For a model that fits on one GPU it is rarely worth splitting products or layers: GPUs that share the
# batch, and at most the states besides, meet least. But a poor plan can waste a good machine.

# %% tags=["nbval-check-output"]
bought = []
for name, plans in found.items():
    one, eight = (
        min((p for p in plans.pareto if p.devices == n), key=lambda p: p.training_seconds.value)
        for n in (1, 8)
    )
    faster = one.training_seconds.value / eight.training_seconds.value
    bill = eight.training_usd.value / one.training_usd.value
    bought += [f"{bill:.2f} times the bill of one, done {faster:.1f} times sooner ({name})"]
course.say(
    f"And for the job? Eight GPUs: {'; '.join(bought)}. Eight times the price for about an eighth of"
    " the time is about the same bill, as long as they seldom wait for each other."
)

# %% [markdown]
# ### The question of the title
#
# What does it take to pre-train BERT, and what should we rent? BERT-base as its authors trained it:
# nine tenths of a million steps on sequences of 128 tokens, one tenth on 512, 256 sequences a step.

# %%
base = catalog.model("bert-base-uncased").shape


def as_trained(head_share: float) -> dict[str, tuple[costing.Option, ...]]:
    """Estimate both phases on each instance to rent, with the head on a share of the tokens."""
    phases = [
        costing.training_options(
            base,
            [option.instance.name for option in rentable],
            sequence_length=length,
            global_batch=256,
            tokens=share * 1_000_000 * 256 * length,
            predicted_share=head_share,
        )
        for length, share in ((128, 0.9), (512, 0.1))
    ]
    return {both[0].instance.name: both for both in zip(*phases, strict=True)}


# %%
def in_words(phases: tuple[costing.Option, ...]) -> str:
    """Sum up time and cost of the phases, their intervals end by end: all err alike."""
    spans, costs = [o.training.training_seconds for o in phases], [o.cost for o in phases]
    ends = ("value", "low", "high")
    hours = [f"{sum(getattr(span, end) for span in spans) / HOUR:.0f}" for end in ends]
    usd = [format_usd(sum(getattr(cost, end) for cost in costs)) for end in ends]
    return f"{hours[0]} hours ({hours[1]} to {hours[2]}) and {usd[0]} ({usd[1]} to {usd[2]})"


# %% tags=["nbval-check-output"]
gathered, everywhere = as_trained(estimate.GATHERED_SHARE), as_trained(1.0)
bills = {name: sum(option.usd for option in both) for name, both in gathered.items()}
best = min(bills, key=bills.get)
compared = "p4d.24xlarge"
course.say(
    f"If you can wait, rent a **{best}**, the cheapest of those above: **about {in_words(gathered[best])}**,"
    f" estimated. The {compared} you guessed at takes about {in_words(gathered[compared])}."
    f" With the head on every token, as in your functions, it would be"
    f" {format_usd(sum(option.usd for option in everywhere[compared]))}."
)

# %% [markdown]
# ## 6 · Run and measure: a layer on this machine
#
# An estimate you never hold against a clock is a wish. We can't pre-train BERT here, but we can
# run one of its layers. Here is one in NumPy, without biases and dropout:


# %%
def encoder_layer(x: np.ndarray, w: dict[str, np.ndarray], heads: int) -> np.ndarray:
    """One Transformer layer forward; x has shape (batch, tokens, hidden)."""
    batch, tokens, hidden = x.shape

    def split(y: np.ndarray) -> np.ndarray:
        return y.reshape(batch, tokens, heads, hidden // heads).swapaxes(1, 2)

    def normed(y: np.ndarray) -> np.ndarray:
        centred = y - y.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-12)

    queries, keys, values = (split(x @ w[name]) for name in ("query", "key", "value"))
    scores = queries @ keys.swapaxes(2, 3) / np.float32(math.sqrt(hidden // heads))
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ values
    x = normed(x + mixed.swapaxes(1, 2).reshape(x.shape) @ w["out"])
    inner = x @ w["up"]
    inner = 0.5 * inner * (1 + np.tanh(0.79788456 * (inner + 0.044715 * inner * inner * inner)))
    return normed(x + inner @ w["down"])


# %% [markdown]
# **Predict.** Count the layer's FLOPs, measure how fast this processor multiplies matrices of the
# same size, divide. Will the layer take as long as predicted, longer, or less?

# %%
layers, budget_seconds = (1, 1.5) if profile == "smoke" else (shape.layers, 10.0)
batch = max(1, 512 // sequence_length)
d, ffn = shape.hidden, shape.ffn
forward = estimate.forward_flops(shape, sequence_length=sequence_length)
per_layer = sum(forward[t] for t in ("attention projections", "attention scores", "mlp"))
layer_flops = batch * layers * per_layer / shape.layers
rate = matmul_rate(batch * sequence_length, d, ffn, budget_seconds=budget_seconds / 3)
predicted_layer = estimate.Estimate(
    value=layer_flops / rate.flops_per_second,
    unit="s",
    source="FLOPs of the layer / matrix rate measured on this machine",
)
course.say(
    f"{layers} layer{'s' if layers > 1 else ''}, {batch} sequence{'s' if batch > 1 else ''} of"
    f" {sequence_length} tokens:"
    f" {format_si(layer_flops, 'FLOP')} at {format_si(rate.flops_per_second, 'FLOP/s')}, so"
    f" {predicted_layer} (estimated)."
)

# %% [markdown]
# **Run and measure.**

# %%
rng = np.random.default_rng(0)
sizes = {"query": (d, d), "key": (d, d), "value": (d, d), "out": (d, d), "up": (d, ffn)}
sizes |= {"down": (ffn, d)}
weights = {
    name: rng.standard_normal(size, dtype=np.float32) / np.float32(math.sqrt(size[0]))
    for name, size in sizes.items()
}
x = rng.standard_normal((batch, sequence_length, d), dtype=np.float32)


def run_layers() -> None:
    """Run the input through the layers."""
    y = x
    for _ in range(layers):
        y = encoder_layer(y, weights, shape.heads)


def run_products() -> None:
    """Run only the products with weights."""
    for _ in range(layers):
        for name in ("query", "key", "value", "out", "up"):
            inner = x @ weights[name]
        inner @ weights["down"]


# %%
measured_layer = measure(run_layers, budget_seconds=budget_seconds)
measured_products = measure(run_products, budget_seconds=budget_seconds / 2)
linear_share = (forward["attention projections"] + forward["mlp"]) / per_layer
predicted_products = predicted_layer.scaled(linear_share, "s", "the same, linear products only")
pictures.predicted_beside_measured(
    {
        "linear products": (predicted_products, measured_products),
        "everything": (predicted_layer, measured_layer),
    }
)

# %% [markdown]
# **Explain.** The prediction counts matrix products only, at the best rate of one large product.
# The first row of the picture holds it against the products with weights alone, the second against
# everything, with attention scores, softmax, GELU and norms: few operations, but each reads and
# writes every activation, and NumPy does each step apart, with a fresh array each time.

# %%
rest = measured_layer.value - measured_products.value
course.say(
    f"Of {format_seconds(measured_layer.value)} measured, the products with weights took"
    f" {format_seconds(measured_products.value)}"
    f" ({measured_products.value / predicted_products.value:.2f} times their prediction) and all"
    f" else {format_seconds(rest)}: {100 * rest / measured_layer.value:.0f} % of the time for"
    f" {100 * (1 - linear_share):.0f} % of the operations. Much more than twice the prediction means"
    f" that something else keeps this machine busy: run the two cells again."
)

# %% [markdown]
# On a GPU the same thing happens: between products it waits for memory. That is one of the main
# reasons why all the triangles above sit far below the peak.
#
# ## 7 · Compare: how far can you trust it?
#
# Now the honest test. Below are speeds that others have published, and memory peaks that we measured
# (on a processor with small models, none on a GPU). Each is predicted by a fit that has seen neither
# it nor its siblings: depending on the family, the rows of the same framework, model, kind of model or
# chip. The **interval** should hold eight rows in ten: if it holds many fewer, the estimator boasts;
# if it holds many more, it hides. These are the families this lab leans on; `elab validate` shows all.

# %% tags=["nbval-check-output"]
leaned_on = ("encoder training", "LLM training", "memory")
every_score = {score.family: score for score in scores(held_out())}


def percent(share: float) -> str:
    """Write a share in whole percents."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "under 1 %"


lines = [
    "| what | rows | median error | nine in ten within | inside the 80 % interval |",
    "|---|---:|---:|---:|---:|",
]
for score in (every_score[family] for family in leaned_on):
    lines += [
        f"| {score.family} | {score.rows} | {percent(score.median)} | {percent(score.p90)}"
        f" | {percent(score.coverage)} |"
    ]
course.say("\n".join(lines))

# %%
pictures.validation_picture([row for row in held_out() if row.family in leaned_on])

# %% tags=["nbval-check-output"]
verdicts = {"boasts": [], "hides": [], "keeps its word": []}
for score in every_score.values():
    chance = 2 * math.sqrt(0.8 * 0.2 / score.rows)  # two standard deviations of a share
    off = score.coverage - 0.8
    verdict = "boasts" if off < -chance else "hides" if off > chance else "keeps its word"
    verdicts[verdict] += [f"{score.family} ({percent(score.coverage)} of {score.rows})"]
course.say(
    f"The verdict, with what chance may do: it boasts in {', '.join(verdicts['boasts']) or 'none'};"
    f" it hides in {', '.join(verdicts['hides']) or 'none'}; in the other"
    f" {len(verdicts['keeps its word'])} of {len(every_score)} families it is off by no more than chance"
    f" would have it. Ask an estimate what it leans on. The time of a step on {instance}:"
    f" *{step.source}.* Its own interval reaches from"
    f" {100 * (step.low / step.value - 1):+.0f} to {100 * (step.high / step.value - 1):+.0f} %."
)

# %% [markdown]
# ### Why do sources differ?
#
# Look up what BERT's pre-training took, and you will find figures that contradict each other:

# %% tags=["nbval-check-output"]
catalog.pretraining_statements()

# %% [markdown]
# Each of them counts something else. So how many tokens was it? Their paper describes the two phases
# above; in another place it counts 512 tokens for every sequence. The GPT-3 paper's table says 250
# billion tokens and doesn't say why.

# %% tags=["nbval-check-output"]
sequences = 1_000_000 * 256
by_length = {
    n: sum(
        estimate.training_flops(
            base, sequence_length=n, predicted_share=estimate.GATHERED_SHARE
        ).values()
    )
    for n in (128, 512)
}
accounts = {
    "as trained: 128, then 512 tokens": (
        sequences * (0.9 * 128 + 0.1 * 512),
        sequences * (0.9 * by_length[128] + 0.1 * by_length[512]),
    ),
    "as their paper counts elsewhere: all 512": (sequences * 512, sequences * by_length[512]),
    "as the GPT-3 paper counts: 6 N D": (2.5e11, 6 * base.parameters * 2.5e11),
}
lines = ["| BERT-base | tokens | FLOPs |", "|---|---:|---:|"] + [
    f"| {name} | {count / 1e9:.0f} billion | {flops:.2e} |"
    for name, (count, flops) in accounts.items()
]
course.say("\n".join(lines))

# %% tags=["nbval-check-output"]
days, tpu_chips = 4, 16  # the BERT authors' row of the table above
available = days * DAY * tpu_chips * catalog.accelerator("TPU v2").peak_flops("bf16")
shares = [100 * flops / available for _, flops in accounts.values()]
course.say(
    f"The authors' own hardware can referee. {days} days on {tpu_chips} TPU v2 chips (their number"
    f" is unverified) offer"
    f" {format_si(available, 'FLOP')} at peak. Trained as described they used {shares[0]:.0f} % of"
    f" that: low, but so is the share we expect with steps this small, and those days may have held more"
    f" than steps. With 512 tokens throughout it would have been {shares[1]:.0f} %, what the better of"
    f" the GPUs above reach at that length. The GPT-3 paper's count would need {shares[2]:.0f} %, more than any run"
    f" above: whatever it counts, it is not this run. So before you compare two figures, ask: which tokens, which operations,"
    f" which hours?"
)

# %% [markdown]
# ## 8 · Keep the figures
#
# Every lab ends by writing its figures down, each with its origin, so that a batch of runs can be
# compared later. The last rows hold the preflight's prediction against this very run.

# %%
took = time.perf_counter() - started
plan = chosen.training
exact = estimate.Estimate(shape.parameters, "1", "exact, from the shape")
course.record(
    "01_compute_estimation",
    device=f"{plan.plan.data} x {plan.accelerator.name}",
    parameters=exact,
    model_flops=estimate.Estimate(total_flops, "FLOP", "matrix products"),
    memory_bytes_per_device=plan.memory_bytes_per_device,
    mfu=plan.mfu,
    training_seconds=plan.training_seconds,
    cost_usd=chosen.cost,
)

# %%
lab_memory = estimate.Estimate(preflight.needs.memory_bytes, "B", "preflight")
lab_time = estimate.Estimate(preflight.seconds, "s", "preflight")
course.record(
    "01_compute_estimation",
    device=preflight.machine.cpu,
    layer_seconds=[predicted_layer, measured_layer],
    lab_memory_bytes=[lab_memory, resident_memory()],
    lab_seconds=[lab_time, Measurement(took, "s", took, took, 1)],
)

# %% [markdown]
# ## What you can do now
#
# You can look at a model's shape and say what it takes to train it, in operations, memory, days
# and dollars, and how sure you are. Where not to trust this lab: intervals are of steps that run
# undisturbed. They know nothing of nights lost to a crash, of data that arrives late, or of a
# framework that nobody has published a figure for.
#
# **Before you go on**: change `model` and `sequence_length` in the parameters cell to
# `"bert-large-uncased"` and `512`, predict what happens to memory, days and dollars, and run again.
