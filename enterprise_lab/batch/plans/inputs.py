"""The data sets and weights that runs use: whether they are here, and which they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from enterprise_lab import data
from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.batch.plans import identity
from enterprise_lab.errors import LabError
from enterprise_lab.labs import Lab

_NAMING = ("data_set", "weights")
"""Parameters whose values are names of manifests."""


class Inputs:
    """What is known of data sets, each looked at once."""

    def __init__(self) -> None:
        self._looked_at: dict[str, str | LabError] = {}

    def used(self, lab: Lab | None, parameters: Mapping[str, Scalar]) -> list[str]:
        """Return the names of what a run uses, by its lab and by its parameters.

        What a notebook that is no lab calls its `data_set` need not be one of the kit's.
        """
        named = [parameters[name] for name in _NAMING if isinstance(parameters.get(name), str)]
        found = [str(name) for name in named if lab or name in self._known]
        if lab and "data_set" not in parameters:
            found += lab.data
        return found

    def lacks(self, names: Iterable[str]) -> list[LabError]:
        """Return what is wrong with those that can't be used here, each with its mend."""
        return [one for name in names if isinstance(one := self._look(name), LabError)]

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return a digest of each by its name; those that can't be used here are left out."""
        return {name: one for name in names if isinstance(one := self._look(name), str)}

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(manifest.name for manifest in data.manifests())

    def _look(self, name: str) -> str | LabError:
        if name not in self._looked_at:
            try:
                self._looked_at[name] = self._lack(name) or _digest(name)
            except LabError as error:
                self._looked_at[name] = LabError(error.problem.rstrip("."), error.remedy)
        return self._looked_at[name]

    def _lack(self, name: str) -> LabError | None:
        state, manifest = data.state(name), data.manifest(name)
        if state in (data.State.EMBEDDED, data.State.AT_HAND):
            return None
        if manifest.package:
            mend = f"Run `python -m pip install {manifest.package.install}`."
        elif state == data.State.NOT_RECORDED:
            mend = f"Run `elab data record {name}`."
        else:
            mend = f"Run `elab data fetch {name}`."
        return LabError(f"{name} is not at hand ({state})", mend)


def _digest(name: str) -> str:
    return identity.data_digest(data.manifest(name))
