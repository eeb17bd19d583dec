"""What the faults have in common: a sweep in progress, the promise after it, and the table of times."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from tests.cluster.lab.cluster import Cluster
from tests.cluster.lab.hosts import wait_for

TRIAL = r"^ray::ResourceTrainable"  # the title of a trial's process: Tune wraps the class in one of this name
Facts = dict[str, dict[str, object]]


class Disturbed:
    """A sweep on the lab's cluster that something happens to.

    Args:
        cluster: it is up.
        results: the results folder on the head, one for each fault.
        file: the sweep file on the head.
    """

    def __init__(self, cluster: Cluster, results: str, file: str = "sweep.yaml") -> None:
        self.cluster, self.results, self.file = cluster, results, file
        self.began = time.monotonic()
        self.process = self._start()

    @property
    def ledger(self) -> bytes:
        """The ledger as it is on the head's disk."""
        path = self.cluster.ledger(self.results)
        return path.read_bytes() if path.exists() else b""

    @property
    def lines(self) -> int:
        """Whole rows in the ledger."""
        return self.ledger.count(b"\n")

    def nodes(self) -> set[str]:
        """The nodes that rows came from."""
        return {row.host for row in self.cluster.rows(self.results)}

    def everywhere(self, seconds: float = 120) -> None:
        """Wait until every worker has done something; the sweep must not have ended."""
        everyone = len(self.cluster.workers)
        wait_for("rows of every worker", seconds, lambda: len(self.nodes()) == everyone or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0]

    def again(self) -> None:
        """The same command, after the driver has ended."""
        assert self.process.poll() is not None, "the driver is still at work"
        self.process = self._start()

    def next_row(self, seconds: float = 150) -> float:
        """Seconds until another row is there."""
        began, before = time.monotonic(), self.lines
        wait_for("another row", seconds, lambda: self.lines > before or self.process.poll() is not None)
        assert self.lines > before, self.process.communicate()[0]
        return time.monotonic() - began

    def ended(self, seconds: float = 200) -> tuple[int, str]:
        """The driver's exit code and its output."""
        try:
            output = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise TimeoutError(f"the driver still runs after {seconds} s:\n{self.process.communicate()[0]}") from None
        return self.process.returncode, output

    def driver(self) -> int:
        """The driver's process, as the machine sees it."""
        return self.cluster.head.pids(rf"python.* \S*hqc sweep {self.file} --results {self.results} ")[0]

    def complete(self, undisturbed: Facts) -> None:
        """The promise: no row lost, none twice, and the table of a run that nothing happened to."""
        code, output = self.ended()
        assert code == 0, output
        assert facts_of(self) == undisturbed
        assert self.lines == len(undisturbed), "a cell has more than one line"

    def record(self, fault: str, recovery: str, next_row: float | None = None) -> None:
        """Put the fault into the table: seconds to the next row, and of the whole sweep."""
        record(fault, recovery, next_row, time.monotonic() - self.began)

    def _start(self) -> subprocess.Popen[str]:
        return self.cluster.sweep(self.file, self.results)


def facts_of(sweep: Disturbed) -> Facts:
    """What must be equal in every run, by the key of the cell."""
    return {row.key: row.facts() for row in sweep.cluster.rows(sweep.results)}


def signal(pids: list[int], number: int) -> None:
    """Send a signal to processes of a lab's host."""
    assert pids, "no such process"
    for pid in pids:
        os.kill(pid, number)


def record(fault: str, recovery: str, next_row: float | None, whole: float) -> None:
    """Print a fault's times; `make faults` and `make chaos` also put them into the committed table, in place of earlier ones."""
    row = f"| {fault} | {recovery} | {'-' if next_row is None else f'{next_row:.0f} s'} | {whole:.0f} s |"
    print(row)
    if "FAULTS_TABLE" not in os.environ:
        return
    table = Path(os.environ["FAULTS_TABLE"])
    before = table.read_text().splitlines() if table.exists() else []
    kept = [line for line in before if re.match(r"\| (?!fault \||---)", line) and not line.startswith(f"| {fault} |")]
    text = [
        "# Faults",
        "",
        f"Written by `make faults` and `make chaos` ({platform.machine()}, {os.cpu_count()} cores; a host has one).",
    ]
    text += ["After each: no row lost, none twice, and the table equal to that of a serial run, in which nothing happened.", ""]
    text += ["| fault | what brings the sweep on | next row after | all took |", "| --- | --- | --- | --- |"]
    table.write_text("\n".join([*text, *sorted([*kept, row]), ""]))
