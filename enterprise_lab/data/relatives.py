"""Groups of texts that copy from each other, joined into one."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations

from enterprise_lab.data.duplicates import Duplicates
from enterprise_lab.data.texts import Texts

LEAST_SHARED = 3
LEAST_SHARE = 0.5


def join_relatives(texts: Texts, duplicates: Duplicates) -> Texts:
    """Return the texts with groups joined that share at least half of the smaller one's texts.

    `duplicates` are those of the texts; fewer than three shared texts join nothing. So the
    licences that were made from the Mozilla Public License under other names become one family,
    while firms that use the same sentence on severability stay two. Joined groups have the name of
    the one that shares the most with the others.
    """
    origin = list(range(len(texts)))
    for found in duplicates.pairs:
        origin[found.copy] = found.kept
    holders: dict[int, set[str]] = defaultdict(set)
    for row, group in zip(origin, texts.groups, strict=True):
        holders[row].add(group)
    sizes = Counter(group for groups in holders.values() for group in groups)
    shared = Counter(two for groups in holders.values() for two in combinations(sorted(groups), 2))
    related = {
        two: count
        for two, count in shared.items()
        if count >= max(LEAST_SHARED, LEAST_SHARE * min(sizes[group] for group in two))
    }
    copied: Counter[str] = Counter()
    for two, count in related.items():
        copied.update(dict.fromkeys(two, count))
    name = {group: group for group in sizes}
    for one, other in related:
        kept, joined = sorted((name[one], name[other]), key=lambda group: (-copied[group], group))
        name = {group: kept if known == joined else known for group, known in name.items()}
    return replace(texts, groups=tuple(name[group] for group in texts.groups))
