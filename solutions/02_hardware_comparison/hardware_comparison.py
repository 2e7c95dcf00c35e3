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
# # Lab 02 · CPU, GPU and TPU
#
# **The same small network on three kinds of hardware: which of them should we pay for?**
#
# A colleague wants a GPU for a network that reads handwritten digits. Another says that a laptop will
# do. A third has heard that TPUs are cheaper. In this lab you train one small convolutional network by
# one recipe in two frameworks, measure what this machine makes of it, hold that against what other
# hardware promises, and answer all three with figures.
#
# When you are done you can
#
# - measure a piece of work so that somebody else would get the same figure;
# - say from a layer's sizes whether arithmetic or memory limits it, and how fast it can be at best;
# - say what batch size and number format change, and when a GPU loses against a processor;
# - find out when a fast chip waits for its data, and how many workers feed it;
# - choose hardware for a deadline by the whole bill, not by the hour.
#
# In the enterprise workflow this is the step between the estimate (lab 01) and the order: the trial
# that decides which machine the real work runs on. Seven exercises, 14 points, about three hours with
# reading. You need no GPU; where there is one, the lab uses it.
#
# <details><summary>Words used in this lab</summary>
#
# - **FLOP**: one floating-point operation, a multiplication or an addition; **FLOP/s**: operations a
#   second. G, T: 10⁹, 10¹². **Peak rate**: what a data sheet promises of them.
# - **Convolution**: a small window of weights slides over an image; at each place it multiplies what
#   it sees with its weights and adds up. It has a window for each pair of input and output
#   **channel** (a grey image has one channel, a colour image three, inner layers dozens).
# - **ReLU**: negative numbers become zero. **Pooling**: of each 2 × 2 pixels the largest is kept.
#   **Padding**: zeros around an image, so that windows at its edge have something to see.
# - **Step**: one batch of images forward, the error backward, the weights moved a little. **Epoch**:
#   all training images once. **Accuracy**: the share of new images that are classified rightly.
# - **Eager**: a framework does one operation after another as Python asks for it. **Compiled**: it
#   first reads the whole step and makes a program of it. **Launching**: telling a GPU to do one thing;
#   it takes microseconds, whatever the thing is.
# - **fp32**: numbers of 32 bits. **fp16**, **bf16**: of 16 bits; bf16 has the range of fp32 and fewer
#   digits. **tf32**: fp32 rounded for a GPU's fast units. **int8**: whole numbers of 8 bits. **AVX**: a
#   processor's instructions that work on many numbers at once.
# - **Bandwidth**: bytes a second to and from memory. **Cache**: a small fast memory near the arithmetic
#   units, which keeps what was used last. **TPU**: Google's chip for matrix products, rented in Google's
#   cloud. **T4**, **A10G**, **V100**, **A100**, **H100**: NVIDIA's GPUs for data centres, small to large.
# - **Instance**: a machine rented by the hour, here from Amazon's **EC2**; a **vCPU** is usually half of
#   one of its cores. **On demand**: at the price without commitment.
# - **Median**: half of the samples are above it; a quarter lie below the lower and above the upper
#   **quartile**. **Outlier**: a sample far outside them.
# </details>

# %% tags=["parameters"]
from typing import Annotated, Literal

from annotated_types import Ge, Interval

profile: Literal["smoke", "full"] = "smoke"  # smoke: seconds on two cores; full: a longer clock
data_set: str = "digits"  # digits comes with the kit; others: elab data list
device: Literal["auto", "cpu", "cuda", "tpu"] = "auto"  # auto: the fastest kind that is here
width: Annotated[int, Interval(ge=1, le=512)] = 32  # channels of the first layer, then 2x and 4x
batch: Annotated[int, Interval(ge=1, le=1024)] = 64  # images in one step
target_accuracy: Annotated[float, Interval(gt=0, lt=1)] = 0.95  # training stops at this share
most_epochs: Annotated[int, Interval(ge=1, le=1000)] = 60  # after which it stops in any case
seed: Annotated[int, Ge(0)] = 0  # of the first weights and the images' order

# %%
import time

from enterprise_lab import course

started = time.perf_counter()
preflight = course.preflight("02_hardware_comparison", profile, data_set)
preflight

# %%
import numpy as np

from enterprise_lab import catalog, data, estimate
from enterprise_lab.course import bills, hardware, lab02, pictures, series
from enterprise_lab.course import hardware_pictures as draw
from enterprise_lab.course import hardware_tables as tables
from enterprise_lab.course.photographs import photograph, prepare
from enterprise_lab.course.samples_picture import samples
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Estimate
from enterprise_lab.measure import rates
from enterprise_lab.measure.devices import devices, resident_memory
from enterprise_lab.measure.energy import EnergyMeter
from enterprise_lab.measure.libraries import libraries
from enterprise_lab.measure.memory import PeakMemory
from enterprise_lab.measure.records import Origin, measurement_of
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.training import jax_cnn, torch_cnn
from enterprise_lab.training.figures import STEP_SECONDS
from enterprise_lab.training.layers import layer_rates
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.run import train
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import sweep
from enterprise_lab.training.trainer import FRAMEWORKS, trainer
from enterprise_lab.units import DAY, HOUR, format_seconds, format_si

# %% [markdown]
# ## 1 · What is here, and what do you expect of it?
#
# Before anything is measured, look at what this machine has. Kinds of devices that it lacks are listed
# with the reason.

# %%
found = devices()
kind = hardware.choose(device, found)
hardware.table_of(found)

# %% [markdown]
# Nearly everything that follows comes of two rates: how fast a device multiplies matrices, and how fast
# it moves bytes. They are measured now, in seconds; section 2 looks at them closely.

# %%
seconds_for_rates = 5 if profile == "smoke" else 20
todo, measured_rates = rates.tasks(libraries()), []
with course.progress() as tell:
    for number, part in enumerate(rates.run(todo, seconds_for_rates), start=1):
        measured_rates += part
        tell("rates of products and copies", number / len(todo))
quickest = hardware.best_rates(measured_rates, kind)
peak, bandwidth = quickest["fp32"], quickest["memory"]
busy = rates.disturbed(measured_rates)
course.say(
    f"At best this device multiplied in fp32 at **{format_si(peak, 'FLOP/s')}** and moved"
    f" **{format_si(bandwidth, 'B/s')}** to and from memory."
    f"{' **Other programs kept it busy: close them and run this cell again.**' if busy else ''}"
)

# %% [markdown]
# These are the images: unless you chose another data set, handwritten digits of eight by eight pixels,
# scanned from forms that thirteen people filled in. Small, but real.

# %%
images = data.images(data_set)
network = SmallCNN(
    channels=images.train_images.shape[1],
    image_size=images.train_images.shape[2],
    width=width,
    classes=images.classes,
)
chip = hardware.chip_of(kind, found, measured_rates)
samples(images)

# %% [markdown]
# And this is the network: three convolutions with ReLU between them, one pooling, the mean over all
# places, and a linear layer. Its shape says what a step takes, as in lab 01.

# %% tags=["nbval-check-output"]
per_image = estimate.training_flops(network.shape, image_size=network.image_size)
image_flops = sum(per_image.values())
course.say(
    f"The network has {network.shape.parameters:,} parameters; training on one image takes"
    f" {format_si(image_flops, 'FLOP')}, on a batch of {batch} {format_si(batch * image_flops, 'FLOP')}."
)

# %% [markdown]
# **Predict.** Write three guesses down before you go on. How long does one step take on this machine:
# microseconds, milliseconds, seconds? How many times faster is it on an A100, a GPU for data centres? And
# what does it cost to train this network to the target: cents, dollars, hundreds of dollars?
#
# Here is what the kit's estimator says of the first. How many epochs a network needs is nothing that its
# shape could tell; that is a guess, from other networks of this kind.

# %%
assumed_epochs = 5
steps_per_epoch = len(images.train_images) // batch
predicted = estimate.training(
    network.shape, global_batch=batch, accelerator=chip, precision="fp32", image_size=network.image_size
)  # fmt: skip
predicted_seconds = predicted.step_seconds.scaled(
    assumed_epochs * steps_per_epoch, "s", f"{assumed_epochs} epochs assumed"
)
how_it_knows = predicted.step_seconds.source.partition("; ")[2]
course.say(
    f"Predicted for {chip.name}: a step of {batch} images in **{predicted.step_seconds}**,"
    f" {batch / predicted.step_seconds.value:,.0f} images a second; {assumed_epochs} epochs of"
    f" {steps_per_epoch} steps in {predicted_seconds}. How it knows: {how_it_knows}."
)

# %% [markdown]
# ## 2 · A figure that somebody else would get, too
#
# Anybody can look at a clock before and after. Whether the figure means something is another matter:
#
# - The **first call** is different: memory is fetched, programs are compiled, caches are cold.
# - A **GPU** works behind Python's back: the call returns when the work is *ordered*. Whoever doesn't
#   wait for its end measures how fast orders are taken.
# - **Other programs** take turns on the same processor. One figure can't show that; many can.
#
# So the kit's `measure` sets the first call apart, warms up until calls take equally long, waits for
# the device, repeats until the median is certain within a percent or its time is up, and says so when
# the machine is too noisy for any figure.

# %%
edge = 1024
left, right = np.ones((2, edge, edge), np.float32)
product = measure(lambda: left @ right, budget_seconds=1.0)
course.say(
    f"A product of two {edge} × {edge} matrices: **{product}**, {product.n} samples,"
    f" {product.outliers} of them outliers; the first call took {format_seconds(product.first)}."
)

# %% [markdown]
# Now the rates of the first section, by size. **Think about it** before you look: is a product of two
# 128 × 128 matrices done at the same rate as one of 2048 × 2048? And does copying a megabyte go as fast
# as copying a quarter of a gigabyte?

# %%
draw.rates_by_size(measured_rates)

# %% [markdown]
# Small matrices don't reach the best rate: starting and sharing out the work takes as long as doing it.
# Small copies can exceed the rate of memory: they stay in caches, which are faster. So "the" speed of a
# device doesn't exist: there is one for each size, and only the best comes near to a data sheet.
#
# ## 3 · The roofline: who limits whom?
#
# A layer reads numbers, works with them and writes numbers. **Arithmetic intensity** is how many FLOPs
# it does for each byte it moves. Where that is low, the arithmetic units wait for memory; where it is
# high, memory waits for them.
#
# ### Exercise 1 · Arithmetic intensity
#
# ★★☆ · 15 minutes · 2 points
#
# Count it for the forward pass of a convolution with windows of $k \times k$, moved by one pixel at a time
# over an image that is padded so that it keeps its size. For each image, each place and each output channel, a window of
# $k \times k$ numbers in every input channel is multiplied with its weights and summed. Count a
# multiply-add as 2 FLOPs, also where a window hangs over the edge. Of bytes count what must move at least: the inputs and the weights are read
# once, the outputs written once. Leave out the biases.
#
# <details><summary>Hint for "too large": what moves?</summary>
#
# Three tensors. Write down how many numbers each has; the weights don't depend on the batch.
# </details>
# <details><summary>Hint: how many FLOPs?</summary>
#
# For one number of the output it is $2 \cdot k^2 \cdot$ input channels. How many numbers does the output have?
# </details>


# %% nbgrader={"grade": false, "grade_id": "intensity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def convolution_intensity(
    batch: int,
    image_size: int,
    in_channels: int,
    out_channels: int,
    kernel: int,
    bytes_per_number: int,
) -> float:
    """Return the FLOPs per byte of a convolution's forward pass.

    batch: images; image_size: pixels along each side; in_channels, out_channels; kernel: the
    width k of a window; bytes_per_number: 4 in fp32, 2 in bf16.

    Example: batch=2, image_size=3, in_channels=2, out_channels=2, kernel=3, bytes_per_number=4
    are 1,296 FLOPs and 432 bytes: 3.0 FLOPs a byte.
    """
    ### BEGIN SOLUTION
    places = batch * image_size * image_size
    weights = in_channels * out_channels * kernel * kernel
    numbers = places * in_channels + weights + places * out_channels
    return 2 * places * weights / (numbers * bytes_per_number)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-intensity", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.intensity(convolution_intensity)
### BEGIN HIDDEN TESTS
assert abs(convolution_intensity(1, 1, 1, 1, 1, 1) - 2 / 3) < 1e-12
assert abs(convolution_intensity(64, 8, 32, 64, 3, 4) - 91.70149253731343) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# A device with a peak rate $P$ and a bandwidth $B$ does work of intensity $I$ at no more than $P$, and
# at no more than $I \cdot B$, since it can't work with numbers that haven't arrived. Drawn over $I$ this
# is a **roofline** ([Williams et al. 2009](https://doi.org/10.1145/1498765.1498785)): a slope, then a
# flat roof. They meet in the **ridge**, at $I = P/B$.
#
# ### Exercise 2 · What is attainable?
#
# ★☆☆ · 8 minutes · 2 points
#
# Write the roofline as a function: the highest rate that work of some intensity can reach on a device.
#
# <details><summary>Hint: units</summary>
#
# FLOP per byte times gigabytes per second are gigaFLOP per second. A TFLOP/s is 1,000 of them.
# </details>


# %% nbgrader={"grade": false, "grade_id": "attainable", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attainable_tflops(
    flops_per_byte: float, peak_tflops: float, bandwidth_gb_per_second: float
) -> float:
    """Return the highest rate in TFLOP/s that a roofline allows.

    flops_per_byte: the work's arithmetic intensity; peak_tflops: of the device, in TFLOP/s;
    bandwidth_gb_per_second: of its memory, in GB/s (10**9 bytes).

    Example: 10 FLOPs a byte on a device of 20 TFLOP/s and 500 GB/s: 5.0 TFLOP/s.
    """
    ### BEGIN SOLUTION
    return min(peak_tflops, flops_per_byte * bandwidth_gb_per_second / 1000)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attainable", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.attainable(attainable_tflops)
### BEGIN HIDDEN TESTS
assert attainable_tflops(1.0, 312.0, 2000.0) == 2.0
assert attainable_tflops(1000.0, 312.0, 2000.0) == 312.0
### END HIDDEN TESTS

# %% [markdown]
# **Run and measure.** Now the network's own convolutions, forward, on this device, under its roof. The
# roofs of hardware that isn't here are those of the data sheets: *published*, not measured.

# %%
seconds_each = 0.4 if profile == "smoke" else 2
layers = layer_rates(network, batch, kind, budget_seconds=seconds_each) if kind != "tpu" else []
roofs = {f"{chip.name}, fp32": draw.Roof(peak, bandwidth, Origin.MEASURED)}
for name, precision in (("A100-SXM4-40GB", "tf32"), ("TPU v5e", "bf16")):
    other = catalog.accelerator(name)
    roofs[f"{other.name}, {precision}"] = draw.Roof(
        other.peak_flops(precision), other.memory_bandwidth_bytes_per_second, Origin.PUBLISHED
    )
draw.roofline(
    roofs,
    [draw.Point(one.name, one.flops_per_byte, one.rate.value, Origin.MEASURED) for one in layers],
)

# %%
here, *others = roofs.values()
tables.layers(layers, here, dict(zip([*roofs][1:], others, strict=True)))

# %%
of_padding = [
    1 - ((3 * size - 2) / (3 * size)) ** 2 for size in (network.image_size, network.image_size // 2)
]
course.say(
    "Can a share exceed 100 %? A measured roof is that of matrix products, and we"
    " count windows that hang over an image's edge in full. On images this small"
    f" {100 * of_padding[0]:.0f} % of all multiplications, after pooling {100 * of_padding[1]:.0f} %, are"
    " with the zeros of the padding, and a good routine leaves them out."
)

# %% [markdown]
# The first convolution sees one channel: it does little with each number, and its intensity is low. Being
# so small it doesn't even reach what memory allows: its time goes into starting and into sorting numbers
# for the arithmetic units. The others do dozens of FLOPs with each byte. Now compare the last columns: work
# that arithmetic limits here may be limited by memory under a roof that is a thousand times higher, as its
# ridge lies further to the right. (The TPU's roof is for bf16: there each number has half the bytes, and
# all intensities double.) **A faster chip isn't faster for everything.**
#
# ## 4 · One network, two frameworks, three ways
#
# PyTorch does one operation after another, as Python comes to it. Compiled, PyTorch first reads the
# network and writes a program for it. JAX always compiles: Python describes the step once, and XLA makes a
# program of all of it, for a CPU, a GPU or a TPU from the same code. This is the network in both:

# %%
course.source(torch_cnn.Network.forward, torch_cnn.TorchTrainer.step)

# %%
course.source(jax_cnn.forward, jax_cnn.descend)

# %% [markdown]
# **Think about it.** All three start from the same weights and see the same batches in the same order.
# Which one is done first? Which one takes the quickest steps? Will they agree on the loss, and to how many
# digits? Then let them run to the target.

# %%
recipe = Recipe(batch=batch, seed=seed)
runs, trained_with, missing = {}, {}, {}
with course.progress() as tell:
    for framework in FRAMEWORKS:
        tell(f"{framework}: the first step", 0)
        try:
            one = trainer(framework, network, recipe, device=kind)
        except LabError as error:
            missing[framework] = f"{error.problem} {error.remedy}"
            continue
        with EnergyMeter(kind) as meter, PeakMemory(kind) as memory:
            runs[framework] = train(
                one, images, target_accuracy=target_accuracy, max_epochs=most_epochs,
                progress=lambda epoch, name=framework: tell(f"{name}: epoch {epoch.number}", epoch.accuracy),
            )  # fmt: skip
        trained_with[framework] = (meter.energy, memory.bytes)

# %%
draw.accuracy_curves({name: series.curve_of(run) for name, run in runs.items()}, target_accuracy)

# %%
tables.trainings(runs, trained_with, missing, image_flops=image_flops, peak=peak)

# %%
reference = next(iter(runs))
eager, last = runs[reference], list(runs.values())[-1]
apart = max(abs(a.loss / b.loss - 1) for a, b in zip(eager.curve, last.curve, strict=False))
first_apart, tolerance = abs(eager.curve[0].loss / last.curve[0].loss - 1), 1e-4
course.say(
    f"Mean losses of the first epoch: {eager.framework} {eager.curve[0].loss:.8f}, {last.framework}"
    f" {last.curve[0].loss:.8f}; they are {first_apart:.1e} apart, {'' if first_apart < tolerance else 'not '}"
    f"within the {tolerance:g} that this kit asks of its frameworks; over all epochs {apart:.1e} at most. They add the same numbers in another order, and each sum is rounded; every step"
    f" then carries the difference on. That is why a seed promises the same figures on the same machine and"
    f" software only."
)

# %% [markdown]
# **Explain.** Compiling is paid once, and it is worth it if the steps that follow are quicker:

# %%
tables.payback(runs, reference)

# %% [markdown]
# So look at the rate of steps first. There may be little to gain: a convolution is a library's routine in
# all three, and what a compiler can join is what lies between them. On a GPU, where each of these small
# operations is launched apart, there is more of it.
#
# | when you choose a framework | PyTorch | PyTorch compiled | JAX |
# |---|---|---|---|
# | look inside a step | print anywhere | the compiler may stop at it | inside, arrays are only described |
# | new sizes | as they come | compiled anew | compiled anew |
# | where it runs | CPU, GPU; TPU by an add-on | the same | CPU, GPU, TPU from one code |
# | models to start from | most are published for it | the same | fewer |
#
# ## 5 · Batch size and number format
#
# A step costs something before it begins: Python, launches, reading the weights. With a larger batch
# that is paid more seldom. **Predict**, then measure: the bands below are what the estimator expected,
# drawn before the points were measured.

# %%
batches = [1, 4, 16, 64, 256] if profile == "smoke" else [4**n for n in range(7)]
batches = sorted({*batches, batch})
precisions = [p for p in ("fp32", "bf16") if p in chip.peak_tflops and p in quickest]
expected = {
    (precision, n): estimate.training(
        network.shape, global_batch=n, accelerator=chip, precision=precision, image_size=network.image_size
    ).step_seconds
    for precision in precisions for n in batches
}  # fmt: skip

# %%
swept, skipped, seconds_each = [], [], 0.5 if profile == "smoke" else 2
measured_in = {"PyTorch": precisions, "JAX": precisions if profile == "full" else precisions[:1]}
with course.progress() as tell:
    for framework, formats in measured_in.items():
        done = sweep(
            network, Recipe(seed=seed), batches=batches, precisions=formats, frameworks=[framework],
            device=kind, budget_seconds=seconds_each, progress=tell,
        )  # fmt: skip
        swept += done.records
        skipped += done.skipped

# %%
drawn = series.series_of(swept)
for precision in precisions:
    steps = {n: expected[precision, n] for n in batches}
    drawn[f"estimator, {precision}"] = series.estimated(steps)
draw.step_by_batch(drawn)

# %%
tables.steps(swept, skipped, expected, quickest, framework=reference, image_flops=image_flops)

# %% [markdown]
# Three things to see. On the left the lines rise slowly: with four times the images a step takes much less
# than four times as long, since a good part of it is *asking* for it. On the right they rise in proportion:
# the hardware is busy, and a larger batch only takes longer. And bf16 pays on the right only, where a device
# has instructions for it: it makes the arithmetic shorter and halves the bytes, but nothing of the asking.
# (Compare the frameworks with one image: whoever asks for a whole step at once has less asking to do.)
#
# ### Exercise 3 · How much faster is bf16?
#
# ★★☆ · 12 minutes · 2 points
#
# By the roofline, a layer takes as long as its arithmetic or its memory traffic, whichever is longer. In
# bf16 the same FLOPs run at another peak, and each number takes half the bytes. How many times faster
# than in fp32 is the layer?
#
# <details><summary>Hint: begin with the seconds</summary>
#
# Write down four times: arithmetic and traffic, in each format. Which two decide?
# </details>


# %% nbgrader={"grade": false, "grade_id": "precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bf16_speedup(
    flops: float,
    fp32_bytes: float,
    fp32_tflops: float,
    bf16_tflops: float,
    bandwidth_gb_per_second: float,
) -> float:
    """Return the time of a layer in fp32 over that in bf16, by the roofline.

    flops: of the layer; fp32_bytes: what it moves in fp32; fp32_tflops, bf16_tflops: the device's
    peaks in TFLOP/s; bandwidth_gb_per_second: in GB/s.

    Example: 2e9 FLOPs and 1e8 bytes on a device of 10 and 100 TFLOP/s and 1,000 GB/s take 0.2 ms
    in fp32 and 0.05 ms in bf16: 4.0 times faster.
    """
    ### BEGIN SOLUTION
    moving = fp32_bytes / (bandwidth_gb_per_second * 1e9)
    fp32_seconds = max(flops / (fp32_tflops * 1e12), moving)
    bf16_seconds = max(flops / (bf16_tflops * 1e12), moving / 2)
    return fp32_seconds / bf16_seconds
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-precision", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.precision_speedup(bf16_speedup)
### BEGIN HIDDEN TESTS
assert abs(bf16_speedup(1e12, 1e12, 10, 40, 1000) - 2) < 1e-9
assert abs(bf16_speedup(1e13, 1e9, 10, 40, 1000) - 4) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## 6 · Where the CPU wins
#
# Now the colleague's GPU. These are chips that aren't here, as their data sheets have them:

# %%
rivals = ("T4", "A100-SXM4-40GB", "H100-SXM5-80GB", "TPU v5e")
tables.chips([catalog.accelerator(name) for name in rivals])

# %% [markdown]
# Their steps on our network are *estimated*, or *recorded* where somebody has run this lab on one.

# %%
other_batches = sorted({1, 4, 16, 64, 256, 1024, 4096, *batches})
compared = {f"here, {reference}": drawn[f"{reference}, fp32"]}
for name in rivals:
    steps_there = {
        n: bills.step_elsewhere(network.shape, name, image_size=network.image_size, batch=n)
        for n in other_batches
    }
    precision = steps_there[1][1]
    compared[f"{name}, {precision}"] = series.estimated(
        {n: one for n, (one, _) in steps_there.items()}
    )
compared |= series.recorded_series(network, besides=chip.name)
draw.step_by_batch(compared, cross=(f"here, {reference}", "A100-SXM4-40GB, bf16"))

# %%
a100, _ = bills.step_elsewhere(
    network.shape, "A100-SXM4-40GB", image_size=network.image_size, batch=batch
)
there_is = {step.batch: step.seconds for step in compared["A100-SXM4-40GB, bf16"].steps}
here_is = {step.batch: step.seconds for step in compared[f"here, {reference}"].steps}
largest = max(here_is)
course.say(
    f"Your second guess: a step of {batch} images takes an A100 about {format_seconds(there_is[batch])},"
    f" estimated, and this machine {format_seconds(here_is[batch])}, measured: **{here_is[batch] / there_is[batch]:.1f}"
    f" times** as long. With one image it takes {here_is[1] / there_is[1]:.1f} times as long, with {largest}"
    f" images {here_is[largest] / there_is[largest]:.0f} times; by its data sheet the A100 multiplies"
    f" {catalog.accelerator('A100-SXM4-40GB').peak_flops('bf16') / peak:.0f} times as fast, in bf16. How the"
    f" estimator knows: {a100.source.partition('; ')[2]}."
)

# %% [markdown]
# Up to hundreds of images the chips share one flat line. That is the estimator's assumption, not an
# observation: it takes launching to cost the same on all of them, and no published row tests that for a
# network this small. What is safe to say: a step can't be shorter than its launches, whatever the chip, and
# only with large batches does a better one show. Small models on large GPUs are a common waste.
#
# ### Exercise 4 · From which batch on does the GPU win?
#
# ★★☆ · 12 minutes · 2 points
#
# Let a step take a fixed overhead and then as long for each image, on a CPU and on a GPU, in whole
# microseconds. Return the smallest whole batch with which the GPU's step is *shorter* (not equal), or
# `None` if there is none. (A GPU that starts sooner is, in these cases, faster with each image as well.)
#
# <details><summary>Hint: draw it</summary>
#
# Two straight lines. Where do they cross, and which is lower to the right of it? Then think of lines that
# never cross, and of lines that cross left of one image.
# </details>


# %% nbgrader={"grade": false, "grade_id": "break-even", "locked": false, "schema_version": 3, "solution": true, "task": false}
def break_even_batch(
    cpu_overhead_us: int, cpu_us_per_image: int, gpu_overhead_us: int, gpu_us_per_image: int
) -> int | None:
    """Return the smallest batch with which a GPU's step is shorter than a CPU's.

    All in microseconds. None where the GPU's step is shorter with no batch.

    Example: 10 and 50 on the CPU, 100 and 5 on the GPU: with 2 images 110 against 110, equal;
    with 3 images 160 against 115. So 3.
    """
    ### BEGIN SOLUTION
    gained = cpu_us_per_image - gpu_us_per_image
    behind = gpu_overhead_us - cpu_overhead_us
    if behind < gained:
        return 1
    return behind // gained + 1 if gained > 0 else None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-break-even", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.break_even_batch(break_even_batch)
### BEGIN HIDDEN TESTS
assert break_even_batch(0, 100, 1000, 1) == 11
assert break_even_batch(0, 1, 1000, 1) is None
### END HIDDEN TESTS

# %% [markdown]
# ## 7 · A fast chip has to be fed
#
# Images come as files: somebody has to read, decode, cut and scale them. That is work for the CPU, also in
# a GPU machine. How long does it take for one photograph, from JPEG to 224 × 224 numbers?

# %%
jpeg = photograph()
decoding = measure(lambda: prepare(jpeg), budget_seconds=1.0)
published = {
    (row.accelerator, row.precision): row.samples_per_second
    for row in catalog.training_speeds()
    if row.model == "resnet50" and row.devices == 1
}
rate = published["A100-SXM4-80GB", "fp16"]
machine = catalog.instance("p4de.24xlarge")
course.say(
    f"Preparing one photograph on one core here: {decoding}. An A100 trains ResNet-50 on {rate:,.0f} such images"
    f" a second (published): that keeps **{rate * decoding.value:.0f} cores** like this busy. A {machine.name} has"
    f" {machine.vcpus} vCPUs for {machine.accelerator_count:.0f} GPUs,"
    f" {machine.vcpus / machine.accelerator_count:.0f} for each, and two vCPUs are usually one core."
)

# %%
chips = {"A100": rate, "V100": published["V100-SXM2-16GB", "fp16"]}
draw.pipeline_curve(
    {name: draw.Chip(rate, Origin.PUBLISHED) for name, rate in chips.items()},
    decoding.value,
    [1, 2, 4, 8, 12, 16, 24, 32, 48],
)

# %% [markdown]
# Beyond the bend more workers give nothing, before it a better chip gives nothing, though it is paid for in
# full. (Where loading and training take turns instead of overlapping, this is Amdahl's law: what isn't made
# faster decides in the end.)
#
# ### Exercise 5 · The input pipeline
#
# ★★☆ · 12 minutes · 2 points
#
# **Workers** prepare images side by side; with **prefetching** they prepare the next batch while the chip
# works on this one. Write the function that says how many images a second a training gets through.
#
# <details><summary>Hint: prefetching</summary>
#
# With it, the next batch is loaded *while* the chip works on this one: the longer of the two decides.
# Without it, they take turns.
# </details>


# %% nbgrader={"grade": false, "grade_id": "pipeline", "locked": false, "schema_version": 3, "solution": true, "task": false}
def images_per_second(
    decode_ms: float, workers: int, step_ms: float, batch: int, prefetch: bool
) -> float:
    """Return how many images a second a training gets through.

    decode_ms: milliseconds for one image by one worker; workers: that decode side by side;
    step_ms: milliseconds of a training step on one batch; batch: images in it; prefetch: whether
    the next batch is loaded during the step.

    Example: 2 ms an image, 4 workers, steps of 30 ms on 100 images. Loading a batch takes 50 ms:
    with prefetching 2,000 images a second, without 1,250.
    """
    ### BEGIN SOLUTION
    load_ms = batch * decode_ms / workers
    step = max(load_ms, step_ms) if prefetch else load_ms + step_ms
    return 1000 * batch / step
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.pipeline_images_per_second(images_per_second)
### BEGIN HIDDEN TESTS
assert abs(images_per_second(10, 5, 100, 100, True) - 500) < 1e-9
assert abs(images_per_second(10, 5, 100, 100, False) - 1000 / 3) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## 8 · What does it cost?
#
# ### Exercise 6 · Dollars to the target
#
# ★☆☆ · 10 minutes · 2 points
#
# Write the function that computes the bill of a training until the target is reached. EC2 bills Linux
# machines by the second, but at least one minute. A machine is paid for from its start, also while it boots
# and installs.
#
# <details><summary>Hint: in which order?</summary>
#
# Seconds of training, plus seconds of starting up; then the minimum; then dollars.
# </details>


# %% nbgrader={"grade": false, "grade_id": "dollars", "locked": false, "schema_version": 3, "solution": true, "task": false}
def usd_to_accuracy(
    images_per_second: float,
    epochs: int,
    images: int,
    start_up_seconds: float,
    usd_per_hour: float,
) -> float:
    """Return the bill of training until the target is reached.

    images_per_second: of training; epochs: until the target; images: in one epoch;
    start_up_seconds: before training begins; usd_per_hour: of the machine. At least 60 seconds
    are billed; nothing is rounded.

    Example: 1,000 images a second, 3 epochs of 50,000 images, 30 s to start up, $4 an hour: 180 s,
    $0.20.
    """
    ### BEGIN SOLUTION
    seconds = start_up_seconds + epochs * images / images_per_second
    return max(60, seconds) / 3600 * usd_per_hour
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-dollars", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.usd_to_accuracy(usd_to_accuracy)
### BEGIN HIDDEN TESTS
assert abs(usd_to_accuracy(1000, 3, 1000, 0, 36) - 0.6) < 1e-9
assert abs(usd_to_accuracy(100, 36, 1000, 3240, 1) - 1) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# **Think about it.** Your third guess: what does it cost to train this network to the target? Below, for this
# machine by the clock, priced as the cheapest EC2 instance without a GPU that has as many cores; for others
# estimated, with as many steps as the network needed here; each without start-up. Where training takes less
# than the minute that is billed at least, a bar is the price of a minute of the smallest machine with such a
# chip: a T4, A10G, V100 or H100 can be rented alone, an A100 only eight at a time.

# %%
instance = hardware.instance_of(kind, chip)
here = bills.of_run(runs[reference], trained_with[reference][0], instance)
there = [
    bills.elsewhere(
        network.shape, name, image_size=network.image_size, batch=batch, steps=runs[reference].steps
    )
    for name in ("T4", "A10G", "V100-SXM2-16GB", "A100-SXM4-40GB", "H100-SXM5-80GB", "TPU v5e")
]
draw.bars_by_origin(bills.dollars([here, *there]), "USD", "dollars to the target accuracy")

# %%
draw.bars_by_origin(bills.joules([here, *there]), "J", "energy to the target accuracy")

# %%
billed = {bill.device: 100 * bill.usd.value for bill in there if bill.usd}
cheapest = min(billed, key=billed.get)
mine = (
    f"{100 * here.usd.value:.2g} cents" if here.usd else "nothing at EC2, which has no such device"
)
course.say(
    f"Here it costs **{mine}**; on the cheapest GPU, {cheapest}, {billed[cheapest]:.2g} cents; on an A100"
    f" {billed['A100-SXM4-40GB']:.0f} cents, as seven more are paid for that have nothing to do. The TPU has no"
    f" bar among the dollars: the catalogue has no prices of Google's. The energies are not quite alike: a"
    f" processor's is that of the vCPUs in use, by published averages or a counter; a chip's is its board's"
    f" full power for the estimated time, more than steps this small draw."
)

# %% [markdown]
# Now the other end: ResNet-50 on ImageNet, 90 times 1.28 million colour photographs of 224 × 224 pixels.
# The speeds of the V100 and of eight A100s together are *published*, those of the T4 and of this machine
# *estimated*.

# %%
imagenet_images = 90 * 1_281_167
speeds = {("V100-SXM2-16GB", 1): "p3.2xlarge", ("A100-SXM4-80GB", 8): "p4de.24xlarge"}
large = [
    bills.published_bill(row, imagenet_images, speeds[row.accelerator, row.devices])
    for row in catalog.training_speeds()
    if (row.accelerator, row.devices) in speeds and row.precision == "fp16" and row.image_size
]
resnet = catalog.model("resnet50").shape
large += [
    bills.estimated_bill(resnet, chip, 224, batch=32, images=imagenet_images, instance=instance)
]
large += [bills.elsewhere(resnet, "T4", image_size=224, batch=128, steps=imagenet_images // 128)]
draw.bars_by_origin(bills.dollars(large), "USD", "dollars for 90 epochs of ImageNet")

# %%
draw.bars_by_origin(bills.hours(large), "hours", "90 epochs of ImageNet")

# %% [markdown]
# The order turns round. Nothing about the devices has changed: the work has grown by orders of magnitude for
# each image, and with it the part that a GPU is good at. Eight GPUs together are the fastest and, because all
# of them work, not dear. (This machine's bar is for its cores alone; machines with many more take days instead
# of months, for about the same money.)
#
# ### Exercise 7 · Hardware for a deadline
#
# ★★☆ · 12 minutes · 2 points
#
# Choose what costs least of what is done by the deadline. The machine's start-up counts, for the deadline
# and for the bill; at least 60 seconds are billed. Of two that cost the same, take the faster.
#
# <details><summary>Hint: in which order?</summary>
#
# First strike out what comes too late. Then compare what is left, by two keys.
# </details>


# %% nbgrader={"grade": false, "grade_id": "choice", "locked": false, "schema_version": 3, "solution": true, "task": false}
def choose_hardware(options: list[dict], deadline_seconds: float) -> str | None:
    """Return the name of the cheapest option that is done in time, None if none is.

    options: each with name, seconds (of training), start_up_seconds and usd_per_hour.
    deadline_seconds: from the order to the result; done just at the deadline is in time.
    """

    ### BEGIN SOLUTION
    def total(option: dict) -> float:
        return option["seconds"] + option["start_up_seconds"]

    def rank(option: dict) -> tuple[float, float]:
        return max(60, total(option)) / 3600 * option["usd_per_hour"], total(option)

    in_time = [option for option in options if total(option) <= deadline_seconds]
    return min(in_time, key=rank)["name"] if in_time else None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-choice", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-check-output"]
lab02.choose_hardware(choose_hardware)
### BEGIN HIDDEN TESTS
assert choose_hardware([], 10) is None
short = [
    {"name": "dear", "seconds": 20, "start_up_seconds": 10, "usd_per_hour": 10},
    {"name": "long", "seconds": 60, "start_up_seconds": 20, "usd_per_hour": 4.5},
]
assert choose_hardware(short, 100) == "long"
two = [
    {"name": "slow", "seconds": 3600, "start_up_seconds": 0, "usd_per_hour": 1},
    {"name": "fast", "seconds": 1800, "start_up_seconds": 0, "usd_per_hour": 2},
]
assert choose_hardware(two, 3600) == "fast"
### END HIDDEN TESTS

# %% [markdown]
# And with the lab's own figures? Both tasks, with three minutes to start a machine, by the kit's answer to
# exercise 7:

# %%
tables.decisions(
    {
        "digits to the target": (tables.options([here, *there], 180), [HOUR]),
        "ImageNet, 90 epochs": (tables.options(large, 180), [HOUR, 4 * HOUR, 2 * DAY, 30 * DAY]),
    }
)

# %% [markdown]
# Before you order, ask what isn't in this table: does the model fit the chip's memory (lab 01), how many
# hours is the machine idle, who waits for a result, and would spot prices or a machine of your own do?
#
# ## 9 · Predicted beside measured
#
# You have guessed; so has the estimator, in the first section. Here is what the clock said.

# %%
took_step = next(
    measurement_of(one)
    for one in swept
    if one.metric == STEP_SECONDS
    and [one.parameters[key] for key in ("framework", "batch", "precision")]
    == [reference, batch, "fp32"]
)
took_training = runs[reference].seconds
epochs = np.diff([0.0, *(epoch.seconds for epoch in runs[reference].curve)])
low, middle, high = np.quantile(epochs, [0.25, 0.5, 0.75])

# %%
pictures.predicted_beside_measured(
    {
        "an epoch": (
            predicted.step_seconds.scaled(steps_per_epoch, "s", "one epoch"),
            Measurement(middle, "s", low, high, len(epochs)),
        ),
        f"training to {100 * target_accuracy:.0f} %": (
            predicted_seconds, Measurement(took_training, "s", took_training, took_training, 1)
        ),
    }
)  # fmt: skip

# %%
guess, off_by = predicted.step_seconds, took_training / predicted_seconds.value
judged = (
    f"{took_step.value / guess.value:.2f} times what was predicted,"
    f" {'inside' if guess.low <= took_step.value <= guess.high else '**outside**'} the interval"
)
if took_step.doubt:
    judged = "so it can't be held against the prediction: run the sweep again"
course.say(
    f"A step in the sweep took {took_step}; {judged}. Training took"
    f" {len(runs[reference].curve)} epochs where {assumed_epochs} were assumed,"
    f" {len(runs[reference].curve) / assumed_epochs:.2f} times as many; together it took {off_by:.2f} times as long"
    f" as predicted. Errors may cancel, and they may multiply; how many epochs a network needs is the one that no"
    f" formula bounds. Try small before you rent large."
)

# %% [markdown]
# ## 10 · Keep the figures
#
# The figures of this run, each with its origin, so that runs on several machines can be compared later;
# last the preflight's prediction against this very run.

# %%
took = time.perf_counter() - started
course.record(
    "02_hardware_comparison",
    device=chip.name,
    step_seconds=[predicted.step_seconds, took_step],
    seconds_to_target=[predicted_seconds, Measurement(took_training, "s", took_training, took_training, 1)],
    matmul_flops_per_second=Measurement(peak, "FLOP/s", peak, peak, 1),
    copy_bytes_per_second=Measurement(bandwidth, "B/s", bandwidth, bandwidth, 1),
    lab_memory_bytes=[Estimate(preflight.needs.memory_bytes, "B", "preflight"), resident_memory()],
    lab_seconds=[Estimate(preflight.seconds, "s", "preflight"), Measurement(took, "s", took, took, 1)],
)  # fmt: skip

# %% [markdown]
# ## What you can do now
#
# You can measure a device instead of believing its data sheet, place a piece of work under its roof, and
# say what limits it: arithmetic, memory, launches or its supply of data. And you can answer the three
# colleagues. For the digits the laptop will do: it is done before a rented machine has started. For
# photographs by the million the GPU pays, if somebody feeds it. And the TPU? By its data sheet and our
# estimates it is a chip like the large GPUs; whether it is cheaper depends on a price that this kit doesn't
# have. Ask for it, and multiply.
#
# What this lab doesn't say: intervals for small networks on GPUs are wide, because no published row has any.
# Where you have a GPU, run the lab on it: then its line is measured.
#
# **Before you go on**: change `width` to `8` in the parameters cell and run again. What happens to the share
# of peak, and from which batch on would a GPU win now? Predict first.
