"""`elab batch`: what is shown, written for programs and exited with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports import tracking
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.batch.stores.ledger import Ledger
from enterprise_lab.cli import app
from enterprise_lab.errors import LabError

from .past import leave, run, status
from .workshop import RECORD, Workshop


def elab(*words: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, words)], env={"COLUMNS": "160"})


def answer(*words: object) -> tuple[int, Any]:
    done = elab(*words, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_sound_plan_is_listed_with_what_is_left(workshop: Workshop) -> None:
    workshop.notebook()
    plan = workshop.plan(runs=[{"notebook": "tiny.ipynb", "matrix": {"steps": [1, 2]}}])

    done = elab("check", plan)

    assert done.exit_code == 0, done.output
    assert "tiny is sound: 2 runs, 0 of them done" in done.stdout
    assert "Nothing is known yet of the 2 runs that are left" in done.stdout


def test_every_problem_is_written_for_programs(workshop: Workshop) -> None:
    workshop.notebook()
    plan = workshop.plan(runs=[{"notebook": "tiny.ipynb", "matrix": {"sped": [1], "steps": ["x"]}}])

    done = elab("check", plan, "--json")

    assert isinstance(done.exception, LabError), "the command line turns it into exit code 2"
    problems = json.loads(done.stdout)["problems"]
    assert len(problems) == 2
    assert all(one["problem"] and one["remedy"] for one in problems)


@pytest.mark.parametrize(
    ("limit", "said"), [("--max-hours=0.1", "0.1 hours"), ("--max-usd=1", "up to $3")]
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_plan_over_its_limit_is_not_started(
    workshop: Workshop, command: str, limit: str, said: str
) -> None:
    workshop.notebook()
    plan = workshop.plan(deadline_seconds=3600.0, price={"usd_per_hour": 3.0})

    done = elab(command, plan, limit)

    assert done.exit_code == 3, done.output
    assert said in done.stderr
    assert not (workshop.runs / "tiny").exists()


def test_a_batch_is_run_reported_and_told_to_programs(workshop: Workshop) -> None:
    workshop.notebook(RECORD)
    plan = workshop.plan()

    code, said = answer("run", plan)

    assert code == 0
    (run,) = said["runs"]
    assert (run["state"], run["attempts"], run["parameters"]["steps"]) == ("succeeded", 1, 1000)
    assert {f["metric"] for f in run["figures"]} > {"training_seconds", "cost_usd"}
    assert Path(said["report"]).is_file()
    assert (workshop.runs / "tiny" / "results.parquet").is_file()

    done = elab("run", plan)
    assert done.exit_code == 0
    assert "1 runs, 1 of them done already" in done.stdout

    code, said = answer("status", plan)
    assert (code, said["runs"][0]["state"]) == (0, "succeeded")

    code, said = answer("check", plan)
    assert (code, said["predicted"]["runs"]) == (0, 0)
    assert "earlier run of the same" in said["runs"][0]["predicted"]["source"]


def test_a_run_that_fails_is_told_and_can_be_reported_again(workshop: Workshop) -> None:
    workshop.notebook("raise ValueError('no such thing')")
    plan = workshop.plan()

    done = elab("run", plan)

    assert done.exit_code == 1
    assert "ValueError: no such thing" in done.stdout
    report = workshop.runs / "tiny" / "report" / "index.html"
    report.unlink()
    assert elab("report", plan).stdout.strip() == str(report)
    assert report.is_file()


def test_a_run_under_way_is_said_to_be(workshop: Workshop) -> None:
    workshop.notebook()
    plan = workshop.plan()
    (run,) = workshop.check().runs
    with Ledger(Directory(workshop.runs), "tiny") as books:
        books.claim(run)

        code, said = answer("status", plan)

    assert (code, said["runs"][0]["state"]) == (0, "running")


def test_batches_without_a_run_in_common_cannot_be_compared(tmp_path: Path) -> None:
    for name, x in (("a", 1), ("b", 2), ("c", 2)):
        leave(Directory(tmp_path), name, status(run(x=x)))

    assert isinstance(elab("compare", tmp_path / "a", tmp_path / "b").exception, LabError)
    assert elab("compare", tmp_path / "b", tmp_path / "c").exit_code == 0


def test_a_run_that_fails_now_is_worse(tmp_path: Path) -> None:
    for name, state in (("a", State.SUCCEEDED), ("b", State.FAILED)):
        leave(Directory(tmp_path), name, status(run(x=1), state))

    assert elab("compare", tmp_path / "a", tmp_path / "b").exit_code == 1
    assert elab("compare", tmp_path / "b", tmp_path / "a").exit_code == 0


def test_a_tracking_server_that_refuses_costs_no_results(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LabError("Runs can't be logged.", "Give the URI of a server.")

    monkeypatch.setattr(tracking, "track", refuse)
    workshop.notebook()

    done = elab("run", workshop.plan(), "--mlflow", "http://nowhere")

    assert done.exit_code == 1
    assert "Runs can't be logged." in done.stdout
    assert (workshop.runs / "tiny" / "report" / "index.html").is_file()


def test_an_address_without_a_cluster_is_refused(workshop: Workshop) -> None:
    workshop.notebook()

    done = elab("check", workshop.plan(), "--address", "auto")

    assert isinstance(done.exception, LabError)
    assert "--engine ray" in done.exception.remedy


def test_the_schema_is_that_of_the_plans_that_ship() -> None:
    shipped = Path(__file__).parents[2] / "batches" / "plan.schema.json"

    assert json.loads(elab("schema").stdout) == json.loads(shipped.read_text())
