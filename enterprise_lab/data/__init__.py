"""Data sets and weights: described by manifests, fetched safely, verified at each use."""

from enterprise_lab.data.manifest_files import manifest, manifests
from enterprise_lab.data.pictures import Images, images
from enterprise_lab.data.schema import Manifest
from enterprise_lab.data.store import State, at_hand, fetch, state

__all__ = [
    "Images",
    "Manifest",
    "State",
    "at_hand",
    "fetch",
    "images",
    "manifest",
    "manifests",
    "state",
]
