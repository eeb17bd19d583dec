"""Which qubits of a machine a circuit runs on: those where its gates and its readout are least likely to fail.

The idea is mapomatic's (Nation and Treinish, PRX Quantum 4, 010327): a compiled circuit may be moved to any qubits that are
coupled in the same way. Of all places the best is found by branch and bound, so that the same machine and circuit always give the
same qubits.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqc_ray.quantum.noise.base import positions
from hqc_ray.quantum.noise.machines import Calibrated

LIMIT = 200_000  # places of one qubit that are tried; the best so far counts after that
UNIT = 1e-12  # costs are whole multiples of it, so that equal ones are equal on every computer
READOUT = "measure"

Place = tuple[str, tuple[int, ...]]  # a gate and its qubits


@dataclass(frozen=True)
class Uses:
    """How often each gate of a circuit stands on which of its qubits, 0 to N - 1.

    Args:
        n_qubits: N.
        singles: of gates on one qubit, and of readouts.
        pairs: of gates on two.
    """

    n_qubits: int
    singles: Mapping[Place, int]
    pairs: Mapping[Place, int]

    @classmethod
    def of(cls, compiled: Any, qubits: Sequence[int]) -> Uses:
        """Of a transpiled circuit on these physical qubits, which become 0 to N - 1."""
        number = {qubit: i for i, qubit in enumerate(qubits)}
        steps = ((step.operation.name, tuple(number[q] for q in positions(compiled, step))) for step in compiled.data)
        counts = Counter(place for place in steps if place[0] != "barrier")
        by_size = [{place: n for place, n in counts.items() if len(place[1]) == size} for size in (1, 2)]
        return cls(len(qubits), *by_size)

    @classmethod
    def chain(cls, n_qubits: int, gate: str) -> Uses:
        """One gate on each two neighbours of a line, and a readout of each qubit."""
        pairs: dict[Place, int] = {(gate, (i, i + 1)): 1 for i in range(n_qubits - 1)}
        return cls(n_qubits, {(READOUT, (i,)): 1 for i in range(n_qubits)}, pairs)


def touched(compiled: Any) -> list[int]:
    """The physical qubits that a transpiled circuit acts on."""
    return sorted({qubit for step in compiled.data for qubit in positions(compiled, step)})


def expected_error(compiled: Any, noise: Calibrated) -> float:
    """The probability that any gate or readout of a transpiled circuit fails, if they do so independently."""
    cost = _Cost(noise)
    steps = ((step.operation.name, positions(compiled, step)) for step in compiled.data if step.operation.name != "barrier")
    return -math.expm1(-UNIT * sum(cost(*step) or 0 for step in steps))


def best(uses: Uses, noise: Calibrated) -> tuple[list[int], float] | None:
    """The physical qubits for 0 to N - 1, and the probability that anything fails there; None where there is no such place.

    Of equally good places the one counts that is found first, among lower numbers first.
    """
    found = _Search(uses, _Cost(noise), noise).run()
    return None if found is None else (found[0], -math.expm1(-UNIT * found[1]))


class _Cost:
    """What a gate costs on physical qubits: -log(1 - infidelity) in units of `UNIT`; None where it cannot be."""

    def __init__(self, noise: Calibrated) -> None:
        self.noise, self.known = noise, dict[Place, int | None]()

    def __call__(self, gate: str, qubits: tuple[int, ...]) -> int | None:
        if (gate, qubits) not in self.known:
            self.known[gate, qubits] = self._cost(gate, qubits)
        return self.known[gate, qubits]

    def _cost(self, gate: str, qubits: tuple[int, ...]) -> int | None:
        lost = self.noise.infidelity(gate, qubits)
        if lost is None and len(qubits) == 2:
            lost = self.noise.infidelity(gate, qubits[::-1])  # turned round by the compiler
        return None if lost is None else round(-math.log1p(-min(lost, 1 - 1e-15)) / UNIT)


class _Search:
    """Branch and bound over the places of one qubit after another, each coupled to one that has its place."""

    def __init__(self, uses: Uses, cost: _Cost, noise: Calibrated) -> None:
        self.cost, self.left = cost, LIMIT
        self.working = range(noise.backend.num_qubits)
        self.near = _neighbours(noise.backend)
        self.order = _order(uses)
        rank = {qubit: i for i, qubit in enumerate(self.order)}
        self.own: list[list[tuple[str, int]]] = [[] for _ in self.order]  # gates on one qubit, by its rank
        self.links: list[list[tuple[str, tuple[int, int], int]]] = [[] for _ in self.order]  # on two, by the later one's rank
        for (gate, (qubit,)), n in sorted(uses.singles.items()):
            self.own[rank[qubit]].append((gate, n))
        for (gate, pair), n in sorted(uses.pairs.items()):
            ranks = rank[pair[0]], rank[pair[1]]
            self.links[max(ranks)].append((gate, ranks, n))
        self.bound = self._bounds()
        self.found: tuple[list[int], int] | None = None

    def run(self) -> tuple[list[int], int] | None:
        """The best places in the order of the circuit's qubits, and what they cost."""
        self._place([], 0)
        if self.found is None:
            return None
        places = dict(zip(self.order, self.found[0], strict=True))
        return [places[qubit] for qubit in sorted(places)], self.found[1]

    def _place(self, places: list[int], spent: int) -> None:
        at = len(places)
        if at == len(self.order):
            if self.found is None or spent < self.found[1]:
                self.found = places, spent
            return
        for more, place in sorted(self._choices(at, places)):
            if self.left == 0 or (self.found is not None and spent + more + self.bound[at + 1] >= self.found[1]):
                return  # the others cost more
            self.left -= 1
            self._place([*places, place], spent + more)

    def _choices(self, at: int, places: list[int]) -> Iterator[tuple[int, int]]:
        """What the next qubit costs, and where."""
        linked = {rank for _, ranks, _ in self.links[at] for rank in ranks if rank != at}
        around = (self.near(places[rank]) for rank in linked)
        possible: Iterable[int] = set.intersection(*map(set, around)) if linked else self.working
        for place in sorted(set(possible) - set(places)):
            costs = [*self._single(at, place), *self._double(at, [*places, place])]
            if None not in costs:
                yield sum(n or 0 for n in costs), place

    def _single(self, at: int, place: int) -> Iterator[int | None]:
        for gate, n in self.own[at]:
            cost = self.cost(gate, (place,))
            yield None if cost is None else n * cost

    def _double(self, at: int, places: list[int]) -> Iterator[int | None]:
        for gate, (a, b), n in self.links[at]:
            cost = self.cost(gate, (places[a], places[b]))
            yield None if cost is None else n * cost

    def _bounds(self) -> list[int]:
        """The least that all qubits from each rank on can cost."""
        pairs = [(a, b) for a in self.working for b in self.near(a)]

        def least(gate: str, all: Iterable[tuple[int, ...]]) -> int:
            return min((cost for qubits in all if (cost := self.cost(gate, qubits)) is not None), default=0)

        single = {gate: least(gate, ((q,) for q in self.working)) for own in self.own for gate, _ in own}
        double = {gate: least(gate, pairs) for links in self.links for gate, _, _ in links}
        each = [
            sum(n * single[gate] for gate, n in own) + sum(n * double[gate] for gate, _, n in links)
            for own, links in zip(self.own, self.links, strict=True)
        ]
        return [*itertools.accumulate(reversed(each), initial=0)][::-1]


def _neighbours(backend: Any) -> Callable[[int], Iterable[int]]:
    """The qubits that each one is coupled to, in either direction."""
    coupling = backend.coupling_map
    if coupling is None:
        return lambda _: range(backend.num_qubits)
    found: dict[int, set[int]] = {}
    for a, b in coupling.get_edges():
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return lambda qubit: found.get(qubit, ())


def _order(uses: Uses) -> list[int]:
    """The circuit's qubits, the busiest pair first, then those with most gates to the ones before them."""
    gates: Counter[frozenset[int]] = Counter()
    for (_, pair), n in uses.pairs.items():
        gates[frozenset(pair)] += n
    waiting, order = set(range(uses.n_qubits)), list[int]()
    while waiting:
        met = {q: sum(gates[frozenset((q, other))] for other in order) for q in waiting}
        all_of = {q: sum(n for pair, n in gates.items() if q in pair) for q in waiting}
        chosen = min(waiting, key=lambda q: (-met[q], -all_of[q], q))
        order.append(chosen)
        waiting.remove(chosen)
    return order
