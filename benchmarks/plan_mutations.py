"""What becomes of batch plans that were damaged at random: `python benchmarks/plan_mutations.py`.

Each shipped plan is changed in its text (bytes, lines, indentation, things YAML can say) or in what
it says (keys renamed, values replaced), and checked. Every outcome has to be a PlanError that lists
problems, or a batch that an independent judge accepts: the JSON schema of plans, and pydantic on
the annotations of the notebook's parameters cell, which it runs. Nothing is ever run from a plan.
"""

from __future__ import annotations

import argparse
import copy
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import yaml
from pydantic import TypeAdapter, ValidationError

from enterprise_lab import catalog
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.plans.errors import PlanError
from enterprise_lab.batch.plans.schema import schema
from enterprise_lab.batch.run import Batch
from enterprise_lab.data import yaml_lines

ROOT = Path(__file__).parents[1]
PROCESSOR = catalog.accelerator("A100-SXM4-80GB")
NODES = [Node("here", 8, 64e9, ("NVIDIA H200", "NVIDIA H200"))]
"""What predictions are made for; that no processor is as fast does not matter."""
SLOWEST_SECONDS = 20.0
"""A check that takes longer hangs."""

SNIPPETS = [
    "!!python/object/apply:os.system [echo]", "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]",
    "!!timestamp 2024-13-45", "2024-02-30", "!<tag:x> y", "&a", "*a", "<<: *a", "<<: {name: x}",
    ".nan", ".inf", "-.inf", "1e999", "9" * 5000, "0x" + "f" * 400, "1:30:00", "0o17", "~", "null",
    "true", "yes", "on", "''", '"\\0"', '"\\ud800"', '"\\x1b[31m"', "\t", "\u2028", "\ufeff", "é",
    "\x00", "\x07", "[" * 3000, "{" * 3000, "- " * 2000, "? ", "|", ">", "---", "...", "%YAML 1.1",
    "#", ":", ", ", "[]", "{}", "a: b: c", "x" * 3000, "s3://", "../../..", "/", "/dev/zero", ".",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 0.5, -0.0, 1e-300, 1e300, float("nan"),
    float("inf"), "", " ", "a", "cuda", "smoke", "full", "p4d", "bert-base", "8 GB", "0 GB", "-1",
    "x" * 500, "\x00", "é", "../x", "/", ".", "*", [], [[]], [1, "a"], {}, {"a": 1}, {1: 2},
    {"gpus": 1}, ["failed"], {"times": 1, "on": ["failed"]}, {"instance": "g5.xlarge"},
    {"x": {"width": 8}}, [{"width": 8}], list(range(200)), 600, 1e9, 256, "training", "inference",
]  # fmt: skip
KEYS = ["name", "runs", "notebook", "matrix", "sets", "exclude", "resources", "gpus", "width", "a"]


class Bench:
    """A folder with the shipped plans and their notebooks, cut down to the parameters cells."""

    def __init__(self, root: Path) -> None:
        self.plan = root / "batches" / "mutated.yaml"
        self.judge = jsonschema.validators.validator_for(schema())(schema())
        self.types: dict[str, dict[str, TypeAdapter[Any]]] = {}
        shutil.copy(ROOT / "constraints.txt", root)
        self.texts = [path.read_text() for path in sorted((ROOT / "batches").glob("*.yaml"))]
        for text in self.texts:
            for entry in yaml_lines.read(text).content["runs"]:
                self._cut_down(root, entry["notebook"])

    def _cut_down(self, root: Path, name: str) -> None:
        notebook = nbformat.read(ROOT / name, as_version=4)
        notebook.cells = [
            cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
        ]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, root / name)
        space: dict[str, Any] = {}
        exec(compile(notebook.cells[0].source, name, "exec", dont_inherit=True), space)
        self.types[name] = {
            key: TypeAdapter(kind) for key, kind in space["__annotations__"].items()
        }

    def outcome(self, text: bytes) -> Batch | PlanError:
        """Check a plan of this text; anything but a batch or PlanError is let through."""
        self.plan.parent.mkdir(exist_ok=True)
        self.plan.write_bytes(text)
        try:
            return check_plan(self.plan, nodes=NODES, processor=lambda: PROCESSOR)
        except PlanError as error:
            return error

    def wrong(self, text: bytes, outcome: Batch | PlanError) -> str:
        """Say what is wrong with an outcome; nothing for what it should be."""
        if isinstance(outcome, PlanError):
            said = all(problem.problem and problem.remedy for problem in outcome.problems)
            str(outcome).encode()
            return "" if outcome.problems and said else "an error without problems"
        content = yaml_lines.read(text.decode()).content
        if errors := [error.message for error in self.judge.iter_errors(content)]:
            return f"a batch of a plan that the schema refuses: {errors[0]}"
        for run in outcome.runs:
            for name, value in run.given.items():
                try:
                    self.types[run.notebook][name].validate_python(value, strict=True)
                except (KeyError, ValidationError) as error:
                    return f"a batch in which {name} is {value!r}: {error}"
        if len({run.run_id for run in outcome.runs}) != len(outcome.runs) or not outcome.runs:
            return "a batch with no runs, or with a run twice"
        return ""


def mutated(rng: random.Random, text: str) -> bytes:
    """Damage a plan in one to three ways."""
    if rng.random() < 0.5:
        content = yaml_lines.read(text).content
        for _ in range(rng.randint(1, 3)):
            _damage_content(rng, content)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode(
            errors="surrogatepass"
        )
    damaged = text.encode()
    for _ in range(rng.randint(1, 3)):
        damaged = _damage_text(rng, damaged)
    return damaged


def _damage_text(rng: random.Random, text: bytes) -> bytes:
    at, lines = rng.randrange(len(text) + 1), text.split(b"\n")
    line, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(9):
        case 0:
            return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
        case 1:
            return text[:at] + bytes([rng.randrange(256)]) + text[at:]
        case 2:
            return text[:at] + text[at + rng.randint(1, 12) :]
        case 3:
            return text[:at] + rng.choice(SNIPPETS).encode(errors="surrogatepass") + text[at:]
        case 4:
            del lines[line]
        case 5:
            lines.insert(other, lines[line])
        case 6:
            lines[line], lines[other] = lines[other], lines[line]
        case 7:
            lines[line] = b" " * rng.randint(0, 6) + lines[line].lstrip()
        case 8:
            key, colon, _ = lines[line].partition(b":")
            lines[line] = key + colon + b" " + rng.choice(SNIPPETS).encode(errors="surrogatepass")
    return b"\n".join(lines)


def _damage_content(rng: random.Random, content: Any) -> None:
    place = rng.choice([*_places(content), ()])
    if not place:
        content[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
        return
    *way, last = place
    parent = content
    for key in way:
        parent = parent[key]
    match rng.randrange(5):
        case 0 | 1:
            parent[last] = copy.deepcopy(rng.choice(VALUES))
        case 2:
            del parent[last]
        case 3 if isinstance(parent, dict):
            parent[rng.choice([*KEYS, f"{last}s", 1])] = parent.pop(last)
        case 4:
            value = copy.deepcopy(parent[last])
            if isinstance(parent, dict):
                parent[rng.choice(KEYS)] = value
            else:
                parent.append(value)


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    for key, value in items:
        yield (*above, key)
        yield from _places(value, (*above, key))


def mutations(
    count: int, seed: int = 0, tell: Callable[[str], object] = lambda _: None
) -> tuple[Counter[str], list[str]]:
    """Check `count` damaged plans; return how many came to what, and what went wrong."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for number in range(count):
            text = mutated(rng, rng.choice(bench.texts))
            started = time.perf_counter()
            try:
                outcome = bench.outcome(text)
                wrong = bench.wrong(text, outcome)
                found["batches" if isinstance(outcome, Batch) else "refused"] += 1
            except Exception as error:  # the very thing that is looked for
                wrong = f"{type(error).__name__}: {error}"
                found["other exceptions"] += 1
            if time.perf_counter() - started > SLOWEST_SECONDS:
                wrong = wrong or "it hangs"
            if wrong:
                failures.append(f"{number}: {wrong[:300]}\n{text[:2000]!r}")
                tell(failures[-1])
    return found, failures


def main() -> int:
    """Print what became of the plans; 1 where something went wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("count", nargs="?", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    started = time.perf_counter()
    found, failures = mutations(given.count, given.seed, lambda text: sys.stderr.write(f"{text}\n"))
    seconds = time.perf_counter() - started
    sys.stdout.write(
        f"{given.count:,} damaged plans in {seconds:.0f} s: {found['refused']:,} refused,"
        f" {found['batches']:,} sound batches, {found['other exceptions']:,} other exceptions;"
        f" {len(failures)} wrong\n"
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
