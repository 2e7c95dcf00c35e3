"""The labs of the course and what each needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import PurePath

from enterprise_lab.errors import InvalidValueError, LabError, UnknownNameError
from enterprise_lab.units import GB


@dataclass(frozen=True)
class Needs:
    """What a run of a lab takes: measured once on two CPU cores, scaled by `flops` elsewhere."""

    memory_bytes: float
    disk_bytes: float
    fixed_seconds: float
    """Start-up, tables and pictures."""
    flops: float
    """What takes longer on a slower processor, such as training and compiling: as many operations
    of its matrix products in float32 take that long."""

    def seconds(self, matmul_flops_per_second: float) -> float:
        """Predict the seconds of the lab's code where products in float32 have this rate."""
        return self.fixed_seconds + self.flops / matmul_flops_per_second


@dataclass(frozen=True)
class Lab:
    """A lab: its title, its data and its needs by profile."""

    folder: str
    title: str
    needs: Mapping[str, Needs]
    data: tuple[str, ...] = ()
    """Data sets and weights, by their manifests, that the lab uses where nothing else is said."""
    packages: tuple[str, ...] = ()
    """What it imports besides this package's own needs."""
    widths: tuple[str, float] | None = None
    """The parameter that makes its network wider, and the value its needs were measured with.
    Its `flops` grow with the root of it: wider layers are quicker by the operation, and learn in
    fewer epochs. Measured from a quarter to four times the value."""

    def profile(self, name: str) -> Needs:
        """Return the needs of a profile; LabError for one the lab doesn't have."""
        if name not in self.needs:
            raise InvalidValueError(
                f"{self.folder} has no profile {name!r}.", f"Use one of {', '.join(self.needs)}."
            )
        return self.needs[name]

    def needs_with(self, parameters: Mapping[str, object]) -> Needs:
        """Return the needs of a run with these parameters; LabError as `profile`."""
        found = self.profile(str(parameters.get("profile", "smoke")))
        if self.widths is None:
            return found
        name, measured = self.widths
        width = parameters.get(name, measured)
        if not isinstance(width, int | float) or width <= 0:
            return found
        return replace(found, flops=found.flops * math.sqrt(width / measured))

    @property
    def lack(self) -> LabError | None:
        """The packages it imports that aren't installed here, if any."""
        missing = [name for name in self.packages if not find_spec(name)]
        if not missing:
            return None
        return LabError(
            f"{self.title} needs packages that are not installed: {', '.join(missing)}.",
            "In the course's folder: python -m pip install -c constraints.txt -e '.[labs]'.",
        )


LABS = (
    Lab(
        folder="01_compute_estimation",
        title="Compute estimation",
        needs={
            "smoke": Needs(0.22 * GB, 0.01 * GB, fixed_seconds=5.2, flops=1e11),
            "full": Needs(0.22 * GB, 0.01 * GB, fixed_seconds=17, flops=1e11),
        },
    ),
    Lab(
        folder="02_hardware_comparison",
        title="CPU, GPU and TPU",
        needs={
            "smoke": Needs(1.1 * GB, 0.01 * GB, fixed_seconds=25, flops=2.8e12),
            "full": Needs(1.2 * GB, 0.01 * GB, fixed_seconds=90, flops=2.8e12),
        },
        data=("digits",),
        packages=("torch", "jax", "sklearn"),
        widths=("width", 32),
    ),
    Lab(
        folder="06_bert_finetuning",
        title="Fine-tuning BERT on legal text",
        needs={
            "smoke": Needs(2.0 * GB, 0.7 * GB, fixed_seconds=45, flops=8e12),
            "laptop": Needs(2.6 * GB, 1.5 * GB, fixed_seconds=60, flops=9e13),
            "full": Needs(3.0 * GB, 1.5 * GB, fixed_seconds=120, flops=6e14),
        },
        data=("licence-texts", "minilm"),
        packages=("torch", "transformers", "peft", "datasketch", "sklearn", "licensedcode"),
    ),
)


def lab(folder: str) -> Lab:
    """Look a lab up by its folder; LabError for an unknown one."""
    for known in LABS:
        if known.folder == folder:
            return known
    raise UnknownNameError("lab", folder, [known.folder for known in LABS])


def lab_of(notebook: str) -> Lab | None:
    """Return the lab whose folder a notebook's path is in, its solution or its student's copy."""
    folder = PurePath(notebook).parent.name
    return next((known for known in LABS if known.folder == folder), None)
