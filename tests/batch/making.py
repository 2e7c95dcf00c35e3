"""Attempts that are really made, for the tests of those that make them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from enterprise_lab.batch.attempt import Job, Scalar
from enterprise_lab.batch.attempts.nursery import Nursery

PARAMETERS = 'label: str = "one"\nsteps: int = 1'


def job(*code: str, parameters: Mapping[str, Scalar] | None = None, **options: Any) -> Job:
    """A job of a text, a cell of parameters and code cells, the first of which is In [2]."""
    cells = [
        new_markdown_cell("# A tiny lab"),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, code),
    ]
    return Job(
        **{
            "run_id": "abc",
            "attempt": 1,
            "notebook": "labs/tiny.ipynb",
            "content": nbformat.writes(new_notebook(cells=cells)),
            "parameters": parameters or {},
            "deadline_seconds": 120,
            **options,
        }
    )


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery whose kernels don't know that they are tested: they would capture less."""
    known = os.environ.pop("PYTEST_CURRENT_TEST", None)
    home = Nursery()
    home.start()
    if known:
        os.environ["PYTEST_CURRENT_TEST"] = known
    try:
        yield home
    finally:
        home.close()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
