"""Where and with what runs were made: what they have in common, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from enterprise_lab.batch.attempt import Status
from enterprise_lab.batch.plans import identity
from enterprise_lab.batch.reports.results import Result

_SHORT = 12


@dataclass(frozen=True)
class Fact:
    """Something that is known of runs, with how many runs have which value."""

    name: str
    counts: Mapping[str, int]

    @property
    def is_common(self) -> bool:
        """Whether all have the same."""
        return len(self.counts) == 1


@dataclass(frozen=True)
class Again:
    """Why some runs were made again: what has changed since earlier ones."""

    changes: tuple[str, ...]
    results: tuple[Result, ...]


def facts_of(status: Status) -> dict[str, str]:
    """List all that is known of where and with what an attempt was made, by name."""
    ended, own = status.ended, status.identity
    facts = {
        "commit of the kit": status.git_commit,
        "host": ended.host,
        "device": ended.device,
        "driver": ended.driver,
        **{f"version of {name}": version for name, version in status.versions.items()},
        "runner": status.runner,
        "digest of the notebook's code": own.code[:_SHORT],
        "digest of constraints.txt": own.lock[:_SHORT],
        "digest of the kit": own.package[:_SHORT],
        **{f"digest of {name}": digest[:_SHORT] for name, digest in own.data.items()},
    }
    return {name: value for name, value in facts.items() if value}


def provenance(results: Iterable[Result]) -> list[Fact]:
    """Count what is known of runs that have ended."""
    counts: dict[str, dict[str, int]] = {}
    for result in results:
        if result.status is not None:
            for name, value in facts_of(result.status).items():
                held = counts.setdefault(name, {})
                held[value] = held.get(value, 0) + 1
    return [Fact(name, held) for name, held in counts.items()]


def made_again(results: Sequence[Result], attempts: Mapping[str, Sequence[Status]]) -> list[Again]:
    """Say why runs are others than those of the same notebook and parameters that were made before.

    `attempts` are those of all runs in the store; the nearest earlier one is what counts.
    """
    present = {r.run_id for r in results}
    earlier: dict[str, list[Status]] = {}
    for run_id, held in attempts.items():
        if run_id not in present and held:
            earlier.setdefault(held[-1].identity.notebook, []).append(held[-1])
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        candidates = [
            tuple(identity.changes(old.identity, result.identity))
            for old in sorted(
                earlier.get(result.notebook, []), key=lambda s: s.ended.started, reverse=True
            )
            if _same_work(old, result)
        ]
        if candidates:
            groups.setdefault(min(candidates, key=len), []).append(result)
    return [Again(changes, tuple(held)) for changes, held in groups.items()]


def _same_work(old: Status, new: Result) -> bool:
    """Whether the parameters that both know have the same values."""
    before = old.identity.parameters
    return all(before.get(name, value) == value for name, value in new.parameters.items())
