"""What the benchmarks share: alternating measurements in one run, on one thread, and the table they are written to."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

TABLE = Path(__file__).parent / "results.md"
NOTHING = """
name: {name}
defaults:
  data: {{source: synthetic, size: 10, images: 20, size_pixels: 32}}
  train: {{epochs: 1}}
  evaluate: {{images: 2, batch_size: 2}}
  attack: {{name: "noop:Nothing", number: {numbers}}}
blocks:
  - model: {{backbone: "noop:{backbone}", weights: random, image_size: 32, head: linear}}
"""  # a sweep whose cells are `noop.Nothing`, one a number
HEAD = ["| benchmark | measured | limit |", "| --- | --- | --- |"]


def alternate(rounds: int, **contestants: Callable[[], object]) -> dict[str, float]:
    """Median CPU seconds of each contestant; they take turns, so that what disturbs one disturbs the other."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 2):
        for name, contestant in contestants.items():
            began = time.process_time()
            contestant()
            if number >= 2:  # the first two rounds warm up
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def record(name: str, measured: str, limit: str) -> None:
    """Print a result, and put it into the committed table in place of an earlier one of the same name."""
    print(f"{name}: {measured} (limit: {limit})")
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")][2:] if TABLE.exists() else []
    rows = sorted([r for r in rows if not r.startswith(f"| {name} |")] + [f"| {name} | {measured} | {limit} |"])
    machine = f"{platform.machine()}, Python {platform.python_version()}, one thread a process"
    TABLE.write_text("\n".join(["# Benchmarks", "", f"Written by `make bench` ({machine}).", "", *HEAD, *rows, ""]))
