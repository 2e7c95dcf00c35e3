from __future__ import annotations

from enterprise_lab.batch.reports.provenance import made_again, provenance
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.batch.run import Run

from ..past import GPU, run, status


def result(of: Run, **how: str) -> Result:
    return Result(of.run_id, of.identity, of.predicted, None, (status(of, **how),), ())


def test_what_runs_have_in_common_and_in_what_they_differ() -> None:
    facts = provenance([result(run(x=1)), result(run(x=2), host="node-2", commit="beef")])

    differing = {f.name: f.counts for f in facts if not f.is_common}
    assert differing == {
        "commit of the kit": {"c0ffee": 1, "beef": 1},
        "host": {"node-1": 1, "node-2": 1},
    }
    assert next(f for f in facts if f.name == "version of torch").counts == {"2.13.0": 2}


def test_why_runs_were_made_again() -> None:
    now = [result(run(x=n, new=0)) for n in range(3)]
    before = [
        run(x=0, code="01d"),
        run(x=0, code="01d", new=0, device=GPU),
        run(x=1, new=0, code="01d"),
        run(x=9),
    ]
    attempts = {r.run_id: (status(r),) for r in before} | {r.run_id: r.attempts for r in now}

    again = made_again(now, attempts)

    assert [(a.changes, [r.parameters["x"] for r in a.results]) for a in again] == [
        (("the notebook's code", "new (none) -> 0"), [0]),
        (("the notebook's code",), [1]),
    ]


def test_nothing_is_made_again_in_a_new_store() -> None:
    now = [result(run(x=1))]

    assert made_again(now, {now[0].run_id: now[0].attempts}) == []
