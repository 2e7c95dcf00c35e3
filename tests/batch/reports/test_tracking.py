from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports import tracking
from enterprise_lab.batch.reports.results import collect
from enterprise_lab.batch.reports.tracking import track
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.errors import LabError
from enterprise_lab.measure.records import Origin

from ..past import batch, executed, figure, leave, run, status


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "runs")


@pytest.fixture
def made(store: Directory) -> Batch:
    made = batch(*(run(steps=n, label="a" * 600, usd_per_hour=2.0) for n in range(3)))
    figures = [
        figure("cost_usd", 10, "USD", spread=0.5),
        figure("step_seconds", 2, "s", Origin.MEASURED),
    ]
    leave(store, "tiny", status(made.runs[0]), figures, executed())
    leave(store, "tiny", status(made.runs[1], State.FAILED, error="ValueError: <x>"))
    return made


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)  # where MLflow puts artefacts by default
    return f"sqlite:///{tmp_path}/mlflow.db"


def logged(uri: str) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tiny")
    return {
        r.data.tags[tracking.RUN_TAG]: r for r in client.search_runs([experiment.experiment_id])
    }


def test_a_run_is_logged_with_all_that_is_known_of_it(
    made: Batch, store: Directory, uri: str
) -> None:
    assert track(collect(made, store), uri, "tiny", store) == 2

    first, second = (logged(uri)[r.run_id] for r in made.runs[:2])
    assert first.info.status == "FINISHED"
    assert second.info.status == "FAILED"
    assert first.info.end_time - first.info.start_time == 20_000
    assert first.data.params == {"steps": "0", "label": "a" * 500}
    assert first.data.metrics["step_seconds"] == 2
    assert first.data.metrics["cost_usd.estimated"] == 10
    assert first.data.metrics["cost_usd.estimated.low"] == 5
    assert first.data.metrics["run_cost_usd"] == pytest.approx(20 / 3600 * 2)
    assert first.data.tags["enterprise_lab.host"] == "node-1"
    assert first.data.tags["enterprise_lab.digest_of_digits"] == "da7a"
    assert first.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert second.data.tags["enterprise_lab.error"] == "ValueError: <x>"
    notebooks = list(Path(first.info.artifact_uri.removeprefix("file://")).iterdir())
    assert [n.name for n in notebooks] == ["notebook.ipynb"]


def test_what_was_logged_is_not_logged_again_and_what_was_cut_off_is(
    made: Batch, store: Directory, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_log_batch", cut_off)
        with pytest.raises(LabError, match="no space left"):
            track(collect(made, store), uri, "tiny", store)

    assert track(collect(made, store), uri, "tiny", store) == 2
    assert track(collect(made, store), uri, "tiny", store) == 0
    assert len(logged(uri)) == 2

    leave(store, "tiny", status(made.runs[1], attempt=2))
    assert track(collect(made, store), uri, "tiny", store) == 1


def test_more_figures_than_mlflow_takes_at_once_are_all_logged(store: Directory, uri: str) -> None:
    made = batch(run(**{f"p{n}": n for n in range(120)}))
    leave(store, "tiny", status(made.runs[0]), [figure(f"m{n}", n, "1") for n in range(350)])

    track(collect(made, store), uri, "tiny", store)

    (run_,) = logged(uri).values()
    assert len(run_.data.params) == 120
    assert len(run_.data.metrics) == 350 + 2


def test_without_mlflow_the_extra_is_named(
    made: Batch, store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)

    with pytest.raises(LabError, match=r"mlflow") as caught:
        track(collect(made, store), "sqlite:///x.db", "tiny", store)
    assert "pip install 'enterprise-lab[mlflow]'" in caught.value.remedy


@pytest.mark.parametrize("wrong", ["nonsense://x", "file:///tmp/mlruns"])
def test_a_wrong_uri_is_named(wrong: str, made: Batch, store: Directory) -> None:
    with pytest.raises(LabError, match=r"can't be logged to MLflow at ") as caught:
        track(collect(made, store), wrong, "tiny", store)
    assert "sqlite:///mlflow.db" in caught.value.remedy
