"""What the ledger costs: an append at 1,000 and at 100,000 rows, and opening, reading and keeping the large one."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

from hqc_ray.results.ledger import Ledger
from hqc_ray.results.row import Measured, Planned, Row

SMALL, LARGE = 1_000, 100_000
APPENDS, BATCH = 50, 100
LIMIT_S, LIMIT_MB = 20, 700
OPEN = """
import resource, sys, time
from pathlib import Path
from hqc_ray.results.ledger import Ledger
memory = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
idle, began = memory(), time.process_time()
ledger = Ledger(Path(sys.argv[1]))
print(time.process_time() - began, memory() - idle)
began = time.process_time()
assert len(ledger.frame()) == len(ledger.done())
print(time.process_time() - began, memory())
"""


def row(key: str) -> Row:
    """A row as an attack on 200 images gives it."""
    planned = Planned(
        key=key, sweep="ledger", data_source="pcam", data_size=1000, data_digest="d" * 16, n_classes=2,
        class_names='["normal", "tumour"]', n_train=800, n_test=200, seed=0, backbone="resnet18", weights="imagenet",
        weights_origin="torchvision", image_size=96, head="vqc1", head_kind="circuit", n_qubits=4, embedding="rx", layers=1,
        reuploads=1, readout="z", model_options="{}", train_device="", model_key="m" * 16, search_key="s" * 16,
        search_model_key="m" * 16, search_head="vqc1", search_seed=0, search_device="default.qubit", access="exact",
        audience="itself", level="pixels", attack="pgd", attack_title="PGD", attack_kind="budget",
        attack_options=json.dumps({"steps": 20}), attack_label="pgd", one_search=False, norm="linf", epsilon=0.05,
        epsilon_unit="of [0, 1]", device="default.qubit", device_kind="ideal", shots=None, mode="surrogate",
    )  # fmt: skip
    measured = Measured(
        n_evaluated=200, clean_accuracy=0.8, clean_low=0.7, clean_high=0.9, robust_accuracy=0.4, robust_low=0.3, robust_high=0.5,
        clean_correct="a5" * 25, robust_correct="5a" * 25, test_accuracy=0.8, mean_linf=0.05, mean_l2=3.1, bad_gradient_share=0.0,
        gradients=4000, forwards=8000, outputs_normalised=False,
    )  # fmt: skip
    return Row.ok(planned, measured, seconds=1.5, host="x86_64", finished_at="2026-01-01T00:00:00Z")


def appended(ledger: Ledger, name: str) -> tuple[float, float]:
    """Median CPU seconds of an append of one row, and of a row in a batch. The disk's own time (fsync) is not CPU time."""
    single, batched = [], []
    for number in range(APPENDS):
        one, many = row(f"{name} {number}"), [row(f"{name} {number} {i}") for i in range(BATCH)]
        began = time.process_time()
        ledger.append([one])
        middle = time.process_time()
        ledger.append(many)
        single.append(middle - began)
        batched.append((time.process_time() - middle) / BATCH)
    return statistics.median(single), statistics.median(batched)


def main() -> None:
    """Fill a ledger of each size, append to it, and open the large one in a fresh process."""
    with tempfile.TemporaryDirectory() as scratch:
        text, costs = row("key").model_dump_json(), {}
        for rows in (SMALL, LARGE):
            path = Path(scratch) / f"{rows}.jsonl"
            path.write_text("".join(text.replace('"key":"key"', f'"key":"{i:016x}"') + "\n" for i in range(rows)))
            costs[rows] = appended(Ledger(path), "new")
        command = [sys.executable, "-c", OPEN, str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    opening, kept, table, peak = map(float, output)
    (one, many), (one_large, many_large) = costs[SMALL], costs[LARGE]
    told = [f"{1e6 * costs[n][0]:.0f} and {1e6 * costs[n][1]:.0f} us at {n:,} rows" for n in costs]
    common.record(
        "ledger, an append of one row, and of one in a batch of 100",
        ", ".join(told),
        "equal within 1.5 times",
    )
    common.record(
        f"ledger of {LARGE:,} rows",
        f"opened in {opening:.1f} s, {kept:.0f} MB kept; as a table in {table:.1f} s, {peak:.0f} MB in all",
        f"{LIMIT_S} s, {LIMIT_MB} MB",
    )
    assert one_large < 1.5 * one, "an append costs more where there are more rows"
    assert many_large < 1.5 * many, "an append costs more where there are more rows"
    assert opening < LIMIT_S, "opening takes too long"
    assert peak < LIMIT_MB, "the ledger takes too much memory"


if __name__ == "__main__":
    main()
