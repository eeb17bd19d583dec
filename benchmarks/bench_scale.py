"""What a sweep costs beyond its work: per cell, at 300 to 10,000 cells of a job each, on two workers; and the driver's memory."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

SIZES, WORKERS = (300, 1_000, 10_000), 2


def measure(cells: int, folder: Path) -> dict[str, float]:
    """In this process, which is the driver: seconds per cell from first to last report, of work among them, and memory."""
    from rich.console import Console

    from hqc_ray.results.ledger import Ledger
    from hqc_ray.sweep import run
    from hqc_ray.sweep.driver import Driver

    (folder / "sweep.yaml").write_text(common.NOTHING.format(name="scale", backbone="colours", numbers=list(range(cells))))
    arrivals: list[tuple[float, int]] = []
    original = Driver.take

    def take(self: Driver, outcomes: object) -> object:
        found = original(self, outcomes)  # type: ignore[arg-type]
        arrivals.append((time.perf_counter(), len(found)))
        return found

    Driver.take = take  # type: ignore[assignment, method-assign]
    began = time.perf_counter()
    finished = run.execute(folder / "sweep.yaml", folder, workers=WORKERS, console=Console(stderr=True))
    assert len(finished.rows) == cells
    assert not finished.failed
    warm = arrivals[4:]  # from where both actors are up
    seconds = (warm[-1][0] - warm[0][0]) / sum(n for _, n in warm[1:])
    work = sum(row.seconds or 0.0 for row in Ledger(folder / "scale" / "rows.jsonl").rows.values()) / WORKERS / cells
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    total = time.perf_counter() - began
    return {"cell": seconds, "work": work, "megabytes": int(peak[1]) / 1024 if peak else 0.0, "total": total}


def main() -> None:
    """A process for each size, so that its memory is its own."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}"}
    found = {}
    for cells in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, __file__, "--cells", str(cells), "--folder", scratch]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[cells] = json.loads(output.splitlines()[-1])
    for cells, limit in zip(SIZES, (60, 20, 20), strict=True):
        m = found[cells]
        overhead, work = 1000 * (m["cell"] - m["work"]), 1000 * m["work"]
        measured = f"{overhead:.1f} ms per cell beyond {work:.1f} ms of work, driver {m['megabytes']:.0f} MiB"
        common.record(f"sweep of {cells:,} cells on {WORKERS} workers", measured, f"{limit} ms, 700 MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.cells:
        print(json.dumps(measure(given.cells, given.folder)))
    else:
        main()
