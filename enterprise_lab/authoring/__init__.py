"""Release labs to students, check what is released, grade what comes back.

An author edits `solutions/NN_name/name.py`; everything else follows from it:

- `solutions/NN_name/name.ipynb`, the executed pair;
- `labs/NN_name/name.ipynb`, the student notebook, made by nbgrader.

A lab's pictures live in `solutions/NN_name/images/`, the only other thing that reaches students.
"""

from importlib.util import find_spec

from enterprise_lab.errors import LabError

if not (find_spec("jupytext") and find_spec("nbgrader")):
    raise LabError(
        "Releasing and grading labs need packages that are not installed.",
        "In the course's folder: python -m pip install -c constraints.txt -e '.[author]'.",
    )
