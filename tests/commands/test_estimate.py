"""`elab estimate`: what the help shows runs, and the figures are the estimator's own."""

import inspect
import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from enterprise_lab import __version__, catalog, estimate
from enterprise_lab.catalog.nodes import node_of
from enterprise_lab.cli import app
from enterprise_lab.commands.estimate import estimate_app
from enterprise_lab.commands.estimate_options import number
from enterprise_lab.commands.estimate_plans import as_options
from enterprise_lab.commands.estimate_tables import range_of, written
from enterprise_lab.commands.estimate_words import ARGUMENTS, option, with_options
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate.device_price import device_price
from enterprise_lab.measure import this_machine
from enterprise_lab.measure.records import recorded
from enterprise_lab.units import format_seconds

BERT = ["bert-base-uncased", "-a", "A100-SXM4-40GB", "-b", "256", "-s", "128"]
GPT2 = ["gpt2", "-a", "A100-SXM4-40GB", "-b", "64", "-s", "512"]


@pytest.fixture(autouse=True)
def recorded_processor(monkeypatch):
    here = this_machine.accelerator_of(recorded("cpu_rates"))
    monkeypatch.setattr(this_machine, "this_machine", lambda: here)


def elab(*arguments):
    done = CliRunner().invoke(app, ["estimate", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def figures(*arguments):
    return json.loads(elab(*arguments, "--json"))


def examples():
    """The command lines in every command's help."""
    found = []
    for command in estimate_app.registered_commands:
        text = inspect.cleandoc(command.callback.__doc__).replace("\\\n", " ")
        found += [line.strip() for line in text.splitlines() if line.startswith("elab estimate")]
    return found


def test_every_command_has_examples():
    named = {line.split()[2] for line in examples()}
    assert named == {command.callback.__name__ for command in estimate_app.registered_commands}


@pytest.mark.parametrize("line", examples())
def test_an_example_of_the_help_runs_for_people_and_for_programs(line):
    arguments = shlex.split(line)[2:]
    assert "leans on" in elab(*arguments)
    assert figures(*arguments)


def test_help_keeps_each_example_on_lines_of_its_own():
    shown = elab("train", "--help")
    assert "elab estimate train gpt2 -a here -b 4 -s 256 --samples 10k" in shown


def test_programs_get_the_estimators_figures_with_ranges_units_sources_and_terms():
    found = figures("train", *BERT, "--micro-batch", "32", "--tokens", "3.3B")
    expected = estimate.training(
        catalog.model("bert-base-uncased").shape,
        sequence_length=128,
        global_batch=256,
        accelerator="A100-SXM4-40GB",
        plan=estimate.Plan(micro_batch=32),
        precision="fp16",
        tokens=3.3e9,
    )
    for name in ("step_seconds", "memory_bytes_per_device", "mfu", "training_seconds"):
        mine, its = found["figures"][name], getattr(expected, name)
        assert (mine["value"], mine["low"], mine["high"]) == (its.value, its.low, its.high)
        assert mine["unit"] == its.unit
        assert mine["source"] == its.source
    step = found["figures"]["step_seconds"]
    assert math.isclose(sum(step["terms"].values()), step["value"], rel_tol=1e-9)
    assert found["figures"]["parameters"]["value"] == 109_482_240
    assert found["figures"]["steps"]["value"] == pytest.approx(3.3e9 / (256 * 128))


def test_people_see_ranges_terms_with_shares_and_what_the_estimate_leans_on():
    shown = elab("train", *BERT)
    for part in ("80 % range", "matrix products", "optimizer states", "Fits", "encoder training"):
        assert part in shown
    lines = shown.splitlines()
    first, last = (next(i for i, line in enumerate(lines) if what in line)
                   for what in ("time of a step", "memory of a device"))  # fmt: skip
    shares = [line.rstrip("│ ").removesuffix(" %").split()[-1] for line in lines[first + 1 : last]]
    assert sum(float(share) for share in shares if share[0].isdigit()) == pytest.approx(
        100, abs=0.5
    )


def test_a_config_of_hugging_face_is_a_model_too(tmp_path):
    config = {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12,
              "num_attention_heads": 12, "intermediate_size": 3072,
              "vocab_size": 30522}  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    by_path, by_folder, by_name = (
        figures("train", model, *BERT[1:])["figures"]
        for model in (str(path), str(tmp_path), "bert-base-uncased")
    )
    assert by_path == by_folder == by_name


@pytest.mark.parametrize(
    ("text", "value"),
    [("300B", 3e11), ("1.28M", 1.28e6), ("25k", 25e3), ("3e11", 3e11), ("2T", 2e12), ("7", 7.0),
     ("1,000", 1000.0), ("1e-3k", 1.0)],
)  # fmt: skip
def test_numbers_are_written_with_suffixes(text, value):
    assert number("--tokens", text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["abc", "", "B", "-3", "0", "1e999", "3Q", "nan", "1.2.3", "e5"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(InvalidValueError, match="--tokens"):
        number("--tokens", text)


def test_the_default_micro_batch_is_the_fastest_that_fits():
    chosen = figures("train", "bert-large-uncased", "-a", "T4", "-b", "64", "-s", "512")
    each = [
        figures("train", "bert-large-uncased", "-a", "T4", "-b", "64", "-s", "512",
                "--micro-batch", str(2**power)) for power in range(7)
    ]  # fmt: skip
    assert not all(one["fits"] for one in each)
    fitting = [one["figures"]["step_seconds"]["value"] for one in each if one["fits"]]
    assert chosen["fits"]
    assert chosen["figures"]["step_seconds"]["value"] == min(fitting)


def test_the_default_precision_is_that_of_most_rows_and_one_the_chip_has():
    serving = ["infer", "gpt2", "--input-length", "9", "-a"]
    assert figures("train", *GPT2)["precision"] == "bf16"
    assert figures("train", *BERT)["precision"] == "fp16"
    assert figures(*serving, "A100-SXM4-40GB")["precision"] == "fp16"
    assert figures("train", *GPT2[:2], "V100-SXM2-16GB", *GPT2[3:])["precision"] == "fp16"
    assert figures(*serving, "here")["precision"] == "fp32"


def test_an_instance_is_filled_and_priced_by_the_hour():
    found = figures(
        "train", "gpt2", "-i", "p4d.24xlarge", "-b", "64", "-s", "512", "--tokens", "1B"
    )
    hourly = catalog.price("p4d.24xlarge").usd_per_hour
    seconds, usd = (found["figures"][name] for name in ("training_seconds", "training_usd"))
    assert found["devices"] == 8
    for end in ("value", "low", "high"):
        assert usd[end] == pytest.approx(seconds[end] / 3600 * hourly)


def test_more_devices_than_an_instance_has_rent_more_instances():
    one = figures("train", "gpt2", "-i", "p4d.24xlarge", "-b", "64", "-s", "512", "--data", "4")
    two = figures("train", "gpt2", "-i", "p4d.24xlarge", "-b", "64", "-s", "512", "--data", "16")
    hourly = catalog.price("p4d.24xlarge").usd_per_hour
    for found, instances in ((one, 1), (two, 2)):
        step, bill = (found["figures"][n]["value"] for n in ("step_seconds", "usd_per_1000_steps"))
        assert bill == pytest.approx(1000 * step / 3600 * instances * hourly)


def test_a_million_requests_cost_what_all_groups_of_an_instance_take():
    found = figures("infer", "llama-7b", "-i", "p4d.24xlarge", "--input-length", "128",
                    "--output-length", "64", "--tensor", "2", "-b", "4")  # fmt: skip
    rate = 4 * found["figures"]["queries_per_second"]["value"]
    usd = 1e6 / rate / 3600 * catalog.price("p4d.24xlarge").usd_per_hour
    assert found["figures"]["usd_per_million_requests"]["value"] == pytest.approx(usd)


def test_samples_and_epochs_make_the_length_of_a_run():
    images = figures(
        "train", "resnet50", "-a", "T4", "-b", "64", "--samples", "6.4k", "--epochs", "3"
    )
    assert images["figures"]["steps"]["value"] == 300
    by_samples = figures("finetune", *BERT, "--samples", "25600", "--epochs", "2")
    by_tokens = figures("finetune", *BERT, "--tokens", str(2 * 25600 * 128))
    assert by_samples == by_tokens


def test_adapters_need_less_memory_than_training_everything():
    all_, lora, quantised = (
        figures("finetune", "llama-7b", "-a", "H200-SXM-141GB", "-b", "4", "-s", "512",
                "--micro-batch", "1", *options)["figures"]["memory_bytes_per_device"]["value"]
        for options in ([], ["--trainable", "lora"], ["--trainable", "lora", "--base-bits", "4"])
    )  # fmt: skip
    assert all_ > lora > quantised


def test_a_slow_input_and_checkpoints_are_waited_for():
    terms = figures("train", *GPT2, "--samples-per-second", "1", "--checkpoint-every", "100",
                    "--checkpoint-rate", "1G")["figures"]["step_seconds"]["terms"]  # fmt: skip
    assert terms["checkpoints"] == pytest.approx(12 * 124_439_808 / 1e9 / 100)
    assert sum(terms.values()) - terms["checkpoints"] == pytest.approx(64)


def test_several_batches_are_a_curve():
    arguments = ["infer", "bert-base-uncased", "-a", "T4", "--input-length", "128"]
    shown = elab(*arguments, "-b", "1", "-b", "16", "-b", "300")
    curve = figures(*arguments, "-b", "1", "-b", "16", "-b", "300")
    assert curve[1] == figures(*arguments, "-b", "16")
    latencies = [one["figures"]["prefill_seconds"]["value"] for one in curve]
    assert latencies == sorted(latencies)
    for batch, latency in zip((1, 16, 300), latencies, strict=True):
        assert f"{batch} {format_seconds(latency)}" in " ".join(shown.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "llama-13b", "-a", "T4", "-b", "16", "-s", "2048"],
        ["train", "llama-7b", "-a", "A100-SXM4-40GB", "-b", "64", "-s", "2048", "--data", "8"],
        ["train", "resnet50", "-a", "T4", "-b", "1024", "--micro-batch", "1024"],
        ["infer", "llama-3-70b", "-a", "A100-SXM4-80GB", "-b", "64", "--input-length", "512"],
        ["infer", "llama-7b", "-a", "T4", "-b", "8", "--input-length", "512"],
    ],
)
def test_what_would_fit_does_fit(arguments):
    found = figures(*arguments)
    assert not found["fits"]
    assert len(found["would_fit_with"]) > 1
    assert "Does not fit" in elab(*arguments)
    for way in found["would_fit_with"]:
        command, options = arguments[0], shlex.split(way.rpartition(" (")[0])
        if options[0] == "finetune":
            command = options.pop(0)
        last = figures(command, *arguments[1:], *options)
        last = last[-1] if isinstance(last, list) else last
        assert last["fits"], way


def test_the_fastest_plan_is_told_as_options_that_give_it():
    machine = ["gpt2-xl", "-a", "A100-SXM4-40GB", "-b", "64", "-s", "1024"]
    best = figures("plans", *machine, "-n", "8")["fastest"]
    options = as_options(estimate.Plan(**best["plan"]), catalog.model("gpt2-xl").shape)
    words = elab("plans", *machine, "-n", "8").split()
    assert set(options.split()) <= set(words)
    again = figures("train", *machine, *options.split())
    assert again["plan"] == best["plan"]
    mine, its = (one["figures"]["step_seconds"]["value"] for one in (again, best))
    assert mine == pytest.approx(its, rel=1e-9)


def test_all_discarded_plans_are_accounted_for():
    found = figures("plans", "gpt2", "-a", "T4", "-n", "2", "-n", "4", "-b", "16", "-s", "256")
    assert sum(found["reasons"].values()) + found["fitting"] == found["considered"]
    assert {one["devices"] for one in found["pareto"]} <= {2, 4}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["train", "bert-base", *BERT[1:]], "more than one model"),
        (["train", "gpt2", "-b", "8", "-s", "512"], "what it runs on"),
        (["train", "gpt2", "-a", "A100-SXM4-40GB", "-b", "8"], "how long sequences"),
        (["train", "nothing.json", *GPT2[1:]], "no file"),
        (["train", *GPT2, "-i", "g5.xlarge"], "A10G"),
        (["train", "gpt2", "-i", "c5.large", "-b", "8", "-s", "512"], "no whole accelerator"),
        (["train", *GPT2, "--tokens", "1B", "--samples", "8"], "Both"),
        (["train", *GPT2, "--epochs", "3"], "--epochs"),
        (["train", *GPT2, "--tensor", "5"], "heads"),
        (["train", *GPT2, "--checkpoint-every", "5"], "--checkpoint-rate"),
        (["train", "resnet50", "-a", "T4", "-b", "8", "-s", "128"], "images"),
        (["train", "resnet50", "-a", "T4", "-b", "8", "--tokens", "1M"], "images"),
        (["train", "gpt2", "-a", "T4", "-b", "8", "-s", "9", "--precision", "bf16"], "bf16"),
        (["train", "gpt2", "-a", "T4", "-b", "8", "-s", "9", "--precision", ""], "''"),
        (["train", "gpt2", "-a", "", "-b", "8", "-s", "9"], "''"),
        (["train", *GPT2, "--tokens", ""], "--tokens"),
        (["train", *GPT2, "--samples", "8", "--epochs", "0"], "--epochs"),
        (["train", "gpt2", "-a", "here", "-b", "8", "-s", "9", "--data", "8"], "one processor"),
        (["plans", "gpt2", "-a", "here", "-n", "8", "-b", "8", "-s", "9"], "one processor"),
        (["infer", "gpt2", "-a", "here", "--input-length", "8", "--tensor", "2"], "one processor"),
        (["finetune", *GPT2, "--trainable", "lora", "--targets", ""], "nothing to adapt"),
        (["infer", "gpt2", "-a", "T4", "--input-length", "8", "--weight-bits", "32"], "16 bits"),
        (["infer", "gpt2", "-a", "T4", "--input-length", "8", "--cache-bits", "32"], "16 bits"),
        (["finetune", *GPT2, "--rank", "4"], "LoRA"),
        (["finetune", *GPT2, "--trainable", "lora", "--targets", "nose"], "nose"),
        (["infer", "gpt2", "-a", "T4"], "how long requests"),
        (["infer", "gpt2", "-a", "T4", "--input-length", "8", "-b", "0"], "batch"),
        (["plans", "gpt-3-175b", "-a", "T4", "-n", "8", "-b", "8", "-s", "2048"], "fits"),
    ],
)
def test_bad_input_is_refused_with_the_reason(arguments, problem):
    with pytest.raises(LabError, match=problem):
        elab(*arguments)


@pytest.mark.parametrize("command", ["train", "finetune"])
@pytest.mark.parametrize("model", [["gpt2", "-s", "128"], ["resnet50"]])
@pytest.mark.parametrize("batch", ["0", "100000001", "9" * 20])
def test_impossible_batches_are_refused_before_any_search(command, model, batch):
    with pytest.raises(LabError, match="--batch must be a whole number from 1 to 100,000,000"):
        elab(command, *model, "-a", "T4", "-b", batch)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_only_what_a_chip_can_train_in_is_offered(precision):
    with pytest.raises(LabError) as refused:
        elab("train", "gpt2", "-a", "T4", "-b", "8", "-s", "9", "--precision", precision)
    assert refused.value.remedy == "Choose one of: fp32, fp16."


def test_a_config_that_is_a_list_is_refused_as_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("[1]")
    with pytest.raises(LabError) as refused:
        elab("train", str(path), *GPT2[1:])
    assert str(path) in refused.value.problem
    assert "json.load" not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("global_batch must be a whole number.", "--batch must be a whole number."),
        ("tokens must be above zero.", "--tokens must be above zero."),
        ("Give tokens such a value.", "Give --tokens such a value."),
        ("Give micro_batch within these bounds.", "Give --micro-batch within these bounds."),
        ("Use trainable='all' or 'head'.", "Use --trainable all or 'head'."),
        ("Use sequence_parallel=False, or tensor=2 or more.",
         "Use no --sequence-parallel, or --tensor 2 or more."),
        ("Use flash_attention=True.", "Use --flash-attention."),
        ("every_steps must be above zero.", "--checkpoint-every must be above zero."),
        ("1,280 tokens are more than the model's positions.",
         "1,280 tokens are more than the model's positions."),
        ("Feed-forward can't be split over 3 data-parallel groups, tensor-parallel devices.",
         "Feed-forward can't be split over 3 data-parallel groups, tensor-parallel devices."),
        ("Give --batch within these bounds.", "Give --batch within these bounds."),
    ],
)  # fmt: skip
def test_arguments_are_called_by_their_options(said, written):
    assert with_options(said) == written


def test_every_option_that_errors_may_name_is_one():
    commands = typer.main.get_command(estimate_app).commands.values()
    options = {name for command in commands for one in command.params for name in one.opts}
    assert {option(name) for name in ARGUMENTS} <= options


def test_people_are_told_what_is_rented_and_what_idles():
    train = ["train", "gpt2", "-i", "p4d.24xlarge", "-b", "64", "-s", "512", "--micro-batch", "1"]
    hourly = catalog.price("p4d.24xlarge").usd_per_hour
    one = f"Cost: 1 x p4d.24xlarge, ${hourly:,.2f} an hour on demand."
    assert f"{one} 4 of the 8 devices are paid and idle." in elab(*train, "--data", "4")
    assert f"{one}\n" in elab(*train)
    eight = f"Cost: 8 x p4d.24xlarge, ${8 * hourly:,.0f} an hour in all, on demand.\n"
    assert eight in elab(*train, "--data", "64")
    shared = elab("infer", "llama-7b", "-i", "p4d.24xlarge", "--input-length", "9", "--tensor", "4")
    assert "2 such groups are at work on it." in shared


def test_a_chip_alone_costs_its_part_of_the_cheapest_instance_in_all_commands():
    price = device_price(catalog.accelerator("A100-SXM4-40GB"), 8)
    train = figures("train", *GPT2, "--data", "8", "--tokens", "1B")["figures"]
    expected = train["training_seconds"]["value"] / 3600 * 8 * price.usd_per_hour
    assert train["training_usd"]["value"] == pytest.approx(expected)
    best = figures("plans", *GPT2, "-n", "8")["fastest"]
    options = as_options(estimate.Plan(**best["plan"]), catalog.model("gpt2").shape)
    again = figures("train", *GPT2, *options.split())
    mine, its = (again["figures"]["usd_per_1000_steps"], best["figures"]["usd_per_step"])
    assert mine["value"] == pytest.approx(1000 * its["value"])


def test_plans_on_an_instance_cost_its_part_of_the_instance():
    shown = elab("plans", "gpt2", "-i", "p4d.24xlarge", "-n", "8", "-b", "64", "-s", "512")
    assert "1/8 of p4d.24xlarge" in shown
    assert "as given" not in shown


def test_titles_say_what_is_trained_and_how_it_is_spread():
    adapters = ["--trainable", "lora", "--rank", "4", "--targets", "key", "--base-bits", "8"]
    lora = elab("finetune", "llama-7b", "-a", "H200", "-b", "8", "-s", "512", *adapters)
    assert "LoRA of rank 4 on key beside weights of 8 bits" in lora
    spread = elab("train", *GPT2, "--data", "4", "--tensor", "2", "--zero", "1")
    assert "Plan: --data 4 --tensor 2 --zero 1 --micro-batch" in spread


def test_gradients_are_mentioned_where_none_are_kept():
    said = "Gradients come as activations go"
    assert said in elab("train", *GPT2, "--micro-batch", "64")
    accumulated = elab("train", *GPT2, "--micro-batch", "8")
    assert said not in accumulated
    assert "  gradients" in accumulated


def test_lora_that_does_not_fit_is_offered_fewer_bits_and_the_makers_own_chips():
    ways = figures("finetune", "llama-13b", "-a", "RTX 4090", "-b", "8", "-s", "512",
                   "--trainable", "lora")["would_fit_with"]  # fmt: skip
    assert any(way.startswith("--base-bits 8 ") for way in ways)
    chips = [way.split("'")[1] for way in ways if way.startswith("--accelerator")]
    assert [catalog.accelerator(chip).vendor for chip in chips] == ["NVIDIA"]


def test_the_largest_micro_batch_that_fits_is_offered():
    large = ["train", "bert-large-uncased", "-a", "V100-SXM2-16GB", "-b", "64", "-s", "512"]
    (way,) = (way for way in figures(*large, "--micro-batch", "64")["would_fit_with"]
              if way.startswith("--micro-batch"))  # fmt: skip
    offered = int(way.split()[1])
    assert figures(*large, "--micro-batch", str(offered))["fits"]
    assert not figures(*large, "--micro-batch", str(2 * offered))["fits"]


def test_layers_are_not_shared_beyond_a_node():
    ways = figures("infer", "gpt-3-175b", "-a", "T4", "--input-length", "128")["would_fit_with"]
    assert ways
    for way in ways:
        _, chip, rest = way.split("'")
        assert int(rest.split()[1]) <= node_of(catalog.accelerator(chip)).devices


@pytest.mark.parametrize("arguments", [
    ["plans", "gpt2", "-i", "p4d.24xlarge", "-n", "8", "-b", "64", "-s", "512"],
    ["plans", "gpt2", "-a", "A100-SXM4-40GB", "-n", "8", "-b", "64", "-s", "512",
     "--tokens", "300B"],
    ["infer", "llama-7b", "-i", "p4d.24xlarge", "--input-length", "512", "--output-length", "128",
     "-b", "1", "-b", "2048"],
    ["train", "gpt-3-175b", "-a", "A100-SXM4-80GB", "-b", "1536", "-s", "2048", "--tokens", "300B"],
])  # fmt: skip
def test_tables_keep_to_80_columns(arguments):
    lines = [line.rstrip() for line in elab(*arguments).splitlines()]
    table = [line for line in lines if line.startswith(("  ", " \u2500", "\u2502", "\u2503"))]
    assert len(table) > 4
    assert max(map(len, table)) <= 80


def test_what_writes_nothing_takes_time_for_the_batch_not_to_read_it():
    assert "time of the batch" in elab("infer", "resnet50", "-a", "T4")
    assert "time to read" not in elab(
        "infer", "bert-base-uncased", "-a", "T4", "--input-length", "8"
    )
    assert "time to read the batch" in elab(
        "infer", "gpt2", "-a", "T4", "--input-length", "8", "--output-length", "8"
    )


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (estimate.Estimate(70.0, "s", "", 52.6, 95.4), "52.6 s to 95.4 s"),
        (estimate.Estimate(0.07, "s", "", 0.0526, 0.0954), "52.6 ms to 95.4 ms"),
        (estimate.Estimate(120.0, "s", "", 60.0, 180.0), "1 to 3 minutes"),
    ],
)
def test_a_range_keeps_to_the_unit_of_its_figure(figure, shown):
    assert range_of(figure) == shown


@pytest.mark.parametrize(("count", "shown"), [(781.25, "781.25"), (300.0, "300"), (0.5, "0.5"),
                                              (1e6, "1,000,000")])  # fmt: skip
def test_counts_said_to_be_exact_are(count, shown):
    assert written(count, "") == shown


@pytest.mark.parametrize("module", ["enterprise_lab", "enterprise_lab.cli"])
def test_the_package_is_a_command(module):
    start = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(start, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__


def test_the_readme_shows_what_its_command_prints_within_a_tenth():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    command, _, output = readme.partition("$ elab estimate ")[2].partition("```")[0].partition("\n")
    number = r"\d[\d,.]*"
    shown, printed = (
        text.partition("Time leans")[0] for text in (output, elab(*shlex.split(command)))
    )
    said, found = (
        [float(one.replace(",", "").rstrip(".")) for one in re.findall(number, text)]
        for text in (shown, printed)
    )
    assert said == pytest.approx(found, rel=0.1)
    assert re.sub(number, "#", shown).split() == re.sub(number, "#", printed).split()


def test_bad_input_exits_with_2_and_two_sentences_and_help_starts_without_the_estimator():
    start = [sys.executable, "-c", "from enterprise_lab.cli import main; main()", "estimate"]
    done = subprocess.run(
        [*start, "train", "gpt2", "-b", "8"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2
    code = "import sys, enterprise_lab.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pydantic", "enterprise_lab.estimate"} & set(loaded.stdout.split())
