"""Bring a ledger and its mirror to the same rows."""

from __future__ import annotations

from hqc_ray.results.ledger import Ledger
from hqc_ray.results.row import Row, parse
from hqc_ray.results.storage import Storage

BATCH = 1000  # rows that are written at a time


def merge(ledger: Ledger, storage: Storage) -> None:
    """Fetch the rows that only the storage has, and upload those that it lacks. A result replaces a failure; the first one stays.

    Raises:
        ResultsError: a row of another version.
    """
    there: dict[str, str] = {}  # key -> the best status that the storage has
    new: dict[str, Row] = {}
    for content in storage.segments():
        for number, line in enumerate(content.splitlines(), 1):
            row = parse(line, f"storage {storage.uri}, row {number} of a segment")
            if there.get(row.key) == "ok":
                continue
            there[row.key] = row.status
            if row.key not in (ledger.done() if row.status == "ok" else ledger.keys()):
                new[row.key] = row
        if len(new) >= BATCH:
            ledger.append(new.values())
            new = {}
    ledger.append(new.values())
    done = ledger.done()
    lacking = [k for k in ledger.keys() if there.get(k) != "ok" and (k in done or k not in there)]  # noqa: SIM118 (no mapping)
    if lacking:
        storage.append("".join(row.model_dump_json() + "\n" for row in ledger.read(lacking)))
    storage.pack(ledger.path)
