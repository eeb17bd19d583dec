"""Examines every node of a running cluster and reports what is wrong. A node that does not answer is a finding, never a hang."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hqc_ray.cluster import probe
from hqc_ray.cluster.finding import Finding
from hqc_ray.cluster.probe import Report
from hqc_ray.results.provenance import PACKAGES
from hqc_ray.sweep.tune import connection
from hqc_ray.sweep.tune.address import check, refused

TIMEOUT_SECONDS = 120.0  # a node imports torch, PennyLane and Qiskit first, perhaps from a cold disk
TOLERANCE = 1e-9  # of a probability: other processors round elsewhere (1e-15), other versions compile another circuit (1e-2)
FULL, LOW_BYTES = 0.95, 5 * 2**30  # Ray makes no more objects on a disk that is fuller; below so many bytes it soon will be
CIRCUITS: dict[str, tuple[str, dict[str, str]]] = {
    "default.qubit": ("default.qubit", {}),
    "qiskit.aer with fake_manila": ("qiskit.aer", {"noise": "fake_manila"}),
}
ASKED = ("hqc_ray", *PACKAGES)


@dataclass(frozen=True)
class Node:
    """A node as Ray knows it, and what it says of itself.

    Args:
        id: Ray's hexadecimal id.
        address: its host name or address.
        head: whether it is the head.
        resources: what Ray gives to trials there: CPU, GPU, memory in bytes.
        report: its answer; None if there was none.
        silence: why there was none.
    """

    id: str
    address: str
    head: bool
    resources: dict[str, float]
    report: Report | None = None
    silence: str = ""

    @property
    def name(self) -> str:
        """How a finding calls it: nodes of one machine share its host name."""
        return f"{self.address} ({self.id[:8]})"


def examine(address: str, timeout_s: float = TIMEOUT_SECONDS) -> tuple[list[Node], Report]:
    """Every node of the cluster at `address`, with its report, and the report of this process.

    Raises:
        InputError: no cluster that this process can join.
    """
    check(address)
    with _joined(address):
        alive = [node for node in ray.nodes() if node["Alive"]]
        refs = {_ask(node): node for node in alive}
        began = time.monotonic()
        here = probe.report(ASKED, CIRCUITS, tempfile.gettempdir())  # while the nodes work on theirs
        ray.wait(list(refs), num_returns=len(refs), timeout=max(0.0, timeout_s - (time.monotonic() - began)))
        return [_heard(ref, node, timeout_s) for ref, node in refs.items()], here


def findings(nodes: list[Node], here: Report) -> list[Finding]:
    """What is wrong here, where a driver would run, and on each node, measured by what is here."""
    own = [Finding("the driver", f"{subject}: {problem}") for subject, problem in here.problems.items()]
    return own + [finding for node in nodes for finding in _of(node, here)]


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        connection.connect(address, None)
    except ConnectionError as problem:
        raise refused(address, problem) from problem
    cloudpickle.register_pickle_by_value(probe)  # so that a node without this package can answer, too
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(probe)
        connection.disconnect()


def _ask(node: dict[str, Any]) -> Any:
    pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    session = str(Path(node["RayletSocketName"]).parent.parent)
    task = ray.remote(probe.answer).options(num_cpus=0, max_retries=0, scheduling_strategy=pinned)  # 0: a head may have no CPU
    return task.remote(ASKED, CIRCUITS, session)


def _heard(ref: Any, node: dict[str, Any], timeout_s: float) -> Node:
    known = Node(
        node["NodeID"], node["NodeManagerHostname"] or node["NodeManagerAddress"],
        "node:__internal_head__" in node["Resources"], dict(node["Resources"]),
    )  # fmt: skip
    try:
        return dataclasses.replace(known, report=Report(**ray.get(ref, timeout=0)))
    except ray.exceptions.GetTimeoutError:
        ray.cancel(ref, force=True)
        return dataclasses.replace(known, silence=f"no answer within {timeout_s:g} s")
    except ray.exceptions.RayError as problem:  # it left meanwhile, or its worker cannot start
        last = str(problem).strip().splitlines()[-1]
        return dataclasses.replace(known, silence=f"no answer: {type(problem).__name__}: {last}"[:300])


def _of(node: Node, here: Report) -> Iterator[Finding]:
    found = node.report
    if found is None:
        yield Finding(node.name, node.silence)
        return
    if found.python != here.python:
        yield Finding(node.name, f"Python {found.python}, the driver has {here.python}")
    for package, wanted in here.packages.items():
        have = found.packages.get(package)
        if _public(have) != _public(wanted):
            yield Finding(node.name, f"{package} {have or 'is missing'}, the driver has {wanted or 'none'}")
    for subject, problem in found.problems.items():
        yield Finding(node.name, f"{subject}: {problem}")
    for label, theirs in found.probabilities.items():
        ours = here.probabilities.get(label)
        error = _difference(theirs, ours) if ours else 0.0  # a failure here is reported for the driver
        if not error <= TOLERANCE:
            yield Finding(node.name, f"{label}: a probability differs from the driver's by {error:.1e}, more than {TOLERANCE}")
    yield from _of_the_machine(node, found)


def _of_the_machine(node: Node, found: Report) -> Iterator[Finding]:
    used = 1 - found.disk_free / found.disk_total
    if used >= FULL:
        yield Finding(node.name, f"{found.temp}: the disk is {used:.0%} full; Ray makes no objects above {FULL:.0%}")
    elif found.disk_free < LOW_BYTES:
        yield Finding(node.name, f"{found.temp}: {found.disk_free / 2**30:.1f} GiB of disk left", warning=True)
    if node.resources.get("CPU", 0) > found.cores:
        yield Finding(node.name, f"Ray gives out {node.resources['CPU']:g} CPUs, there are {found.cores}", warning=True)
    if found.threads > 1:
        yield Finding(node.name, f"torch uses {found.threads} threads per worker; 1 gives equal tables", warning=True)


def _public(version: str | None) -> str | None:
    """Without its local label, such as +cpu: a head without a GPU and its workers with one have two builds of one torch."""
    return version and version.partition("+")[0]


def _difference(theirs: list[list[float]], ours: list[list[float]]) -> float:
    """The largest difference; NaN where one is of another shape, or something is no number."""
    a, b = np.array(theirs), np.array(ours)
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("nan")
