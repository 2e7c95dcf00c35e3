"""Which machine makes which run: what each has, and what is taken of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.needs import usable_gpus
from enterprise_lab.batch.run import Need


@dataclass(frozen=True)
class Place:
    """What one attempt occupies; `slot` counts a machine's attempts from 0, for people."""

    node: str
    slot: int
    gpus: tuple[int, ...]
    memory_bytes: float


@dataclass
class _Machine:
    """A machine and what is taken of it; it may be gone while something is."""

    node: Node
    taken: list[Place] = field(default_factory=list)

    def place(self, need: Need, slots: int) -> Place | None:
        """Find room for a run beside what is there already."""
        memory_bytes = need.memory_bytes or 0.0
        if sum(one.memory_bytes for one in self.taken) + memory_bytes > self.node.memory_bytes:
            return None
        if not need.gpus and sum(not one.gpus for one in self.taken) >= slots:
            return None
        busy = {number for one in self.taken for number in one.gpus}
        free = [number for number in usable_gpus(need, self.node) if number not in busy]
        if len(free) < need.gpus:
            return None
        used = {one.slot for one in self.taken}
        slot = next(number for number in range(len(used) + 1) if number not in used)
        return Place(self.node.name, slot, tuple(free[: need.gpus]), memory_bytes)

    def order(self, place: Place) -> tuple[int, int]:
        """Keep GPUs together for those who need many; spread runs without any."""
        free_gpus = len(self.node.gpus) - sum(len(one.gpus) for one in self.taken)
        return (free_gpus if place.gpus else 0, len(self.taken))


class Slots:
    """The machines of an engine, each with so many slots for runs that need no GPU."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._machines: dict[str, _Machine] = {}

    @property
    def nodes(self) -> list[Node]:
        """The machines that are there."""
        return [machine.node for machine in self._machines.values()]

    def update(self, nodes: Sequence[Node]) -> None:
        """Learn which machines are there now; what is taken stays taken."""
        before = self._machines
        self._machines = {
            node.name: _Machine(node, before[node.name].taken if node.name in before else [])
            for node in nodes
        }

    def take(self, need: Need, rather_not: Collection[str] = ()) -> Place | None:
        """Take a place for a run; on a machine of `rather_not` only where no other has one."""
        found = [
            (machine, place)
            for machine in self._machines.values()
            if (place := machine.place(need, self._slots))
        ]
        if not found:
            return None
        machine, place = min(found, key=lambda f: (f[1].node in rather_not, f[0].order(f[1])))
        machine.taken.append(place)
        return place

    def give(self, place: Place) -> None:
        """Give a place back; nothing happens where its machine is gone."""
        machine = self._machines.get(place.node)
        if machine and place in machine.taken:
            machine.taken.remove(place)
