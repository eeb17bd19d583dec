"""What Ray Tune costs a trial beyond the work itself: 300 attacks of a few milliseconds each, on two workers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import common
from rich.console import Console

from hqc_ray.rows import Ledger
from hqc_ray.sweep import run
from hqc_ray.sweep.driver import Driver

TRIALS, WORKERS = 300, 2
SWEEP = """
name: scheduling
defaults:
  data: {{source: synthetic, size: 10, images: 20}}
  train: {{epochs: 1}}
  evaluate: {{images: 2, batch_size: 2}}
  attack: {attacks}
blocks:
  - model: {{backbone: squeezenet1_1, weights: random, image_size: 32, head: tanh}}
"""


def main() -> None:
    """Run the sweep twice, with 1 attack to train the model, then with all of them; record the overhead of a trial."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "sweep.yaml"
        file.write_text(SWEEP.format(attacks="{name: clean}"))
        run.execute(file, scratch, serial=True, console=Console(quiet=True))
        steps = [round(0.001 * (i + 1), 3) for i in range(TRIALS)]
        file.write_text(SWEEP.format(attacks=f"{{name: pgd, epsilon: 0.1, steps: 1, step_size: {steps}}}"))
        arrivals: list[float] = []
        original = Driver.take

        def take(self: Driver, outcome: object) -> bool:
            arrivals.append(time.perf_counter())
            return original(self, outcome)  # type: ignore[arg-type]

        Driver.take = take  # type: ignore[method-assign]
        run.execute(file, scratch, workers=WORKERS, console=Console(quiet=True))
        rows = Ledger(Path(scratch) / "scheduling" / "rows.jsonl").rows.values()
    work = sum(row.seconds or 0.0 for row in rows if row.attack == "pgd") / WORKERS / TRIALS
    warm = arrivals[20:]  # from where both actors are up
    trial = (warm[-1] - warm[0]) / (len(warm) - 1)
    common.record(
        f"scheduling, {TRIALS} trials on {WORKERS} workers",
        f"{1000 * (trial - work):.0f} ms a trial beyond {1000 * work:.0f} ms of work",
        "60 ms",
    )


if __name__ == "__main__":
    main()
