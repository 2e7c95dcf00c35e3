"""What the notebooks import: preflight, exercises, pictures, panels, records."""

from enterprise_lab.course.exercise import CheckError, Exercise
from enterprise_lab.course.fit import preflight
from enterprise_lab.course.progress import progress
from enterprise_lab.course.recording import record
from enterprise_lab.course.text import say, source
from enterprise_lab.labs import LABS

__all__ = ["LABS", "CheckError", "Exercise", "preflight", "progress", "record", "say", "source"]
