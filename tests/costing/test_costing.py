"""The bill, and the choice of an instance."""

from datetime import date

import pytest

from enterprise_lab import catalog, costing, estimate
from enterprise_lab.catalog.nodes import node_of_instance
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Estimate
from enterprise_lab.estimate.search import MEMORY_SHARE
from enterprise_lab.units import DAY, HOUR

BERT = catalog.model("bert-base-uncased").shape
NAMES = ["g4dn.12xlarge", "p3.8xlarge", "p4d.24xlarge"]


def options(names=NAMES, shape=BERT, **changes):
    arguments = {"sequence_length": 128, "global_batch": 256, "tokens": 32.8e9} | changes
    return costing.training_options(shape, names, **arguments)


def test_the_bill_is_hours_times_price_with_its_range():
    ten_hours = Estimate(10 * HOUR, "s", "a test", 5 * HOUR, 20 * HOUR)
    price = catalog.price("p4d.24xlarge").usd_per_hour
    cost = costing.on_demand(ten_hours, "p4d.24xlarge", instances=3)
    assert (cost.low, cost.value, cost.high) == pytest.approx((15 * price, 30 * price, 60 * price))
    assert cost.unit == "USD"
    assert "2026" in cost.source


def test_prices_have_dates():
    hour = Estimate(HOUR, "s", "a test")
    before = costing.on_demand(hour, "p4d.24xlarge", on=date(2025, 6, 1))
    assert before.value > 1.3 * costing.on_demand(hour, "p4d.24xlarge").value


@pytest.mark.parametrize(
    ("seconds", "name", "instances"),
    [
        (HOUR, "p9.huge", 1),
        (HOUR, "p5e.48xlarge", 1),
        (HOUR, "p3.2xlarge", 0),
        (-1, "p3.2xlarge", 1),
    ],
)
def test_a_bill_that_cannot_be_is_refused(seconds, name, instances):
    with pytest.raises(LabError):
        costing.on_demand(Estimate(seconds, "s", "a test"), name, instances=instances)


@pytest.mark.parametrize("seconds", [3600, None, Estimate(16e9, "B", "memory, by mistake")])
def test_a_bill_is_for_estimated_seconds(seconds):
    with pytest.raises(LabError, match="training_seconds"):
        costing.on_demand(seconds, "p4d.24xlarge")


@pytest.mark.parametrize("changes", [{"tokens": -1}, {"global_batch": 0}, {"sequence_length": 2.5},
                                     {"count": 0}])  # fmt: skip
def test_a_job_that_cannot_be_is_no_option_s_fault(changes):
    with pytest.raises(LabError, match="must be"):
        options(**changes)


@pytest.mark.parametrize("model", ["bert-base-uncased", "bert-large-uncased", "gpt2", "gpt2-xl"])
def test_options_fit_in_memory_and_use_every_device(model):
    for option in options(shape=catalog.model(model).shape, sequence_length=512):
        instance, training = option.instance, option.training
        assert training.plan.data == instance.accelerator_count
        limit = MEMORY_SHARE * instance.accelerator_memory_bytes
        assert training.memory_bytes_per_device.value <= limit


def test_a_run_that_fits_plainly_is_spread_plainly_over_the_instance_s_own_links():
    (option,) = options(["p4d.24xlarge"])
    alone = estimate.training(
        BERT,
        sequence_length=128,
        global_batch=256,
        accelerator="A100-SXM4-40GB",
        plan=estimate.Plan(data=8, micro_batch=32),
        tokens=32.8e9,
        node=node_of_instance(catalog.instance("p4d.24xlarge")),
    )
    assert option.training.training_seconds.value == pytest.approx(alone.training_seconds.value)
    price = catalog.price("p4d.24xlarge").usd_per_hour / HOUR
    for end in ("low", "value", "high"):
        seconds = getattr(option.training.training_seconds, end)
        assert getattr(option.cost, end) == pytest.approx(seconds * price)
    assert option.cost.low < option.cost.value < option.cost.high


def test_several_instances_share_the_batch_and_each_is_paid():
    (one,), (four,) = (options(["p4d.24xlarge"], count=n) for n in (1, 4))
    assert four.training.plan.data == 32
    assert four.training.plan.micro_batch <= one.training.plan.micro_batch
    assert four.seconds < one.seconds
    assert four.usd == pytest.approx(one.usd * 4 * four.seconds / one.seconds)
    assert "4 x p4d.24xlarge" in options(["p4d.24xlarge"], count=4)._repr_html_()


def test_what_does_not_fit_plainly_is_sharded_first_and_recomputed_last():
    used = {}
    for name in ("gpt2", "gpt2-large", "gpt2-xl", "opt-2.7b", "opt-6.7b"):
        shape = catalog.model(name).shape
        (option,) = options(["p3.16xlarge"], shape, sequence_length=1024)
        if option.training:
            plan = option.training.plan
            used[name] = (plan.zero, plan.recompute)
    assert used["gpt2"] == (0, "none")
    assert list(used.values()) == sorted(used.values(), key=WAYS.index)
    assert len(set(used.values())) > 2


WAYS = [(0, "none"), (1, "none"), (3, "none"), (3, "full")]


def test_the_table_says_what_was_done_to_fit():
    html = options(["p3.16xlarge"], catalog.model("gpt2-xl").shape, sequence_length=1024)
    assert "ZeRO" in html._repr_html_()
    assert "the first that does" in html._repr_html_()
    assert "the first that does" not in options(["p4d.24xlarge"])._repr_html_()


def test_cheapest_within_deadline_and_budget():
    found = options()
    cheapest = found.cheapest()
    assert cheapest.usd == min(o.usd for o in found)
    slowest = max(found, key=lambda o: o.seconds)
    in_time = found.cheapest(deadline_seconds=slowest.seconds * 0.99)
    assert in_time.seconds < slowest.seconds


def test_an_impossible_wish_says_how_far_off_it_is():
    with pytest.raises(LabError, match=r"fastest, p4d\.24xlarge, needs"):
        options().cheapest(deadline_seconds=60)
    with pytest.raises(LabError, match=r"cheapest, .* \$"):
        options().cheapest(budget_usd=1)


def test_what_cannot_do_it_stays_in_the_table_with_its_reason():
    shape = catalog.model("llama-65b").shape
    found = options(["g4dn.xlarge", "c5.large", "p4d.24xlarge"], shape, sequence_length=2048)
    assert all(o.training is None for o in found)
    html = found._repr_html_()
    assert "One sequence needs" in html
    assert "even with full recomputation" in html
    assert "no whole accelerator" in html
    with pytest.raises(LabError, match="No instance can do this run"):
        found.cheapest(deadline_seconds=365 * DAY)


def test_an_option_is_found_by_its_name_or_says_why_not():
    assert options().named("p4d").instance.name == "p4d.24xlarge"
    with pytest.raises(LabError, match="Near names"):
        options().named("p5.48xlarge")
    with pytest.raises(LabError, match=r"can't do this run: .* has no whole accelerator"):
        options(["c5.large"]).named("c5.large")


def test_a_batch_that_does_not_divide_is_a_reason():
    (option,) = options(["p4d.24xlarge"], global_batch=100)
    assert "doesn't divide over 8" in option.reason


def test_unknown_names_are_errors():
    with pytest.raises(LabError, match="Near names"):
        options(["p44.24xlarge"])


def test_the_table_marks_what_is_unverified_or_going():
    html = options(["g5.12xlarge", "p3.8xlarge"])._repr_html_()
    assert "†" in html
    assert "retiring" in html
    assert "†" not in options(["p4d.24xlarge"])._repr_html_()


def test_estimates_only_scale_by_what_is_positive():
    with pytest.raises(LabError):
        estimate.Estimate(1, "s", "a test").scaled(0, "USD", "a test")


def test_dollars_in_tables_begin_no_formula():
    html = options()._repr_html_()
    assert "$" in html
    assert "$" not in html.replace("<span>$</span>", "")
