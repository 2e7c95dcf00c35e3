"""Data sets and weights: described by manifests, fetched safely, verified at each use."""

from enterprise_lab.data.clauses import TOPICS, Clause, clauses
from enterprise_lab.data.duplicates import (
    Duplicates,
    exact_duplicates,
    near_duplicates,
    similarity,
)
from enterprise_lab.data.legal import legal_texts
from enterprise_lab.data.licences import Licence, by_category, licences
from enterprise_lab.data.manifest_files import manifest, manifests
from enterprise_lab.data.pictures import Images, images
from enterprise_lab.data.relatives import join_relatives
from enterprise_lab.data.schema import Manifest
from enterprise_lab.data.splitting import Split, leaked, sample_rows, split
from enterprise_lab.data.store import State, at_hand, fetch, state
from enterprise_lab.data.texts import Texts

__all__ = [
    "TOPICS",
    "Clause",
    "Duplicates",
    "Images",
    "Licence",
    "Manifest",
    "Split",
    "State",
    "Texts",
    "at_hand",
    "by_category",
    "clauses",
    "exact_duplicates",
    "fetch",
    "images",
    "join_relatives",
    "leaked",
    "legal_texts",
    "licences",
    "manifest",
    "manifests",
    "near_duplicates",
    "sample_rows",
    "similarity",
    "split",
    "state",
]
