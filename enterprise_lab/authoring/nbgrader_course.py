"""A throw-away nbgrader course: its folders and its gradebook live in a temporary folder."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from enterprise_lab.authoring.execution import ExecuteAsFarAsItGoes
from enterprise_lab.authoring.labs import Lab
from enterprise_lab.authoring.notebooks import KERNEL_ARGUMENTS, read, write
from enterprise_lab.errors import LabError


class NbgraderError(LabError):
    """nbgrader could not do its work; `problem` holds its reason."""


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(str(record.msg))


class Course:
    """An nbgrader course in `root`, filled from labs as they are needed."""

    def __init__(self, root: Path, cell_seconds: int) -> None:
        self.root = root
        database = root / "gradebook.db"
        # For a database without tables nbgrader calls a program, alembic, that may not be on PATH.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        config = Config()
        config.CourseDirectory.root = str(root)
        config.CourseDirectory.db_url = f"sqlite:///{database}"
        config.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
        config.Execute.timeout = cell_seconds
        config.Execute.extra_arguments = list(KERNEL_ARGUMENTS)
        config.Autograde.autograde_preprocessors = [
            ExecuteAsFarAsItGoes if step is Execute else step
            for step in Autograde.autograde_preprocessors.default()
        ]
        self._config = config

    def generate(self, lab: Lab, source: NotebookNode) -> Path:
        """Make the student's folder of a lab from its notebook and give its path.

        Raises NbgraderError when a marker or a cell's nbgrader metadata is wrong.
        """
        folder = self.root / "source" / lab.folder
        folder.mkdir(parents=True)
        write(folder / lab.solution.name, source)
        if lab.images.is_dir():
            shutil.copytree(lab.images, folder / lab.images.name)
        self._run(GenerateAssignment, lab.folder, student=".")
        return self.root / "release" / lab.folder

    def autograde(self, student: str, lab: Lab, notebook: NotebookNode) -> NotebookNode:
        """Run a submission and enter its scores in the gradebook; give the executed notebook.

        Raises NbgraderError when the submission cannot be run to its end.
        """
        folder = self.root / "submitted" / student / lab.folder
        folder.mkdir(parents=True)
        write(folder / lab.solution.name, notebook)
        self._run(Autograde, lab.folder, student)
        return read(self.root / "autograded" / student / lab.folder / lab.solution.name)

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """Open the course's gradebook."""
        with Gradebook(self._config.CourseDirectory.db_url) as gradebook:
            yield gradebook

    def _run(self, converter: type[BaseConverter], assignment: str, student: str) -> None:
        directory = CourseDirectory(config=self._config)
        directory.assignment_id, directory.student_id = assignment, student
        log, handler = logging.Logger("nbgrader"), _Log()
        log.addHandler(handler)
        try:
            with warnings.catch_warnings():
                # nbgrader's own tables, under a newer SQLAlchemy than it was written for.
                warnings.simplefilter("ignore", SAWarning)
                converter(coursedir=directory, config=self._config, log=log).start()
        except NbGraderException as error:
            raise NbgraderError(
                f"nbgrader says: {_reason(handler.messages, error)}.",
                "Mend the cell's markers or its nbgrader metadata.",
            ) from error


def _reason(messages: list[str], error: Exception) -> str:
    """Find the sentence in what nbgrader logged: the end of a traceback without its class."""
    tracebacks = [m.strip().splitlines()[-1] for m in messages if m.startswith("Traceback")]
    sentence = re.sub(r"^[\w.]+: ", "", tracebacks[0]) if tracebacks else str(error)
    return " ".join(sentence.split()).rstrip(".")


@contextmanager
def temporary_course(cell_seconds: int) -> Iterator[Course]:
    """Open a course that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="elab-") as folder:
        yield Course(Path(folder).resolve(), cell_seconds)
