"""A durable mirror of the results folder: a head may vanish with its disk, and the next one goes on where it ended."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from rich.console import Console

from hqc_ray import cli
from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.results import lease, storage
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.merge import merge
from hqc_ray.results.storage import Storage
from hqc_ray.sweep import run
from hqc_ray.sweep.driver import Driver
from tests.sweep.conftest import SMALL
from tests.test_rows import row

QUIET = Console(quiet=True)
SECRET = "hunter2hunter2"  # noqa: S105 (of a server that asks for none)
SWEEP = SMALL.replace(
    "attack: {name: fgsm, epsilon: [0.01, 0.1]}",
    "attack: [{name: fgsm, epsilon: [0.01, 0.1]}, {name: pgd, epsilon: [0.01, 0.1], steps: [1, 2, 3]}]",
)
JOBS, CELLS = 4, 8  # attacks, and their cells


@pytest.fixture(scope="module")
def server():
    """A local S3, with one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    here = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    here.start()
    yield here
    here.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Seconds, not minutes."""
    for name, value in (("RENEW_SECONDS", 0.1), ("STALE_SECONDS", 1.0), ("SETTLE_SECONDS", 0.01)):
        monkeypatch.setattr(lease, name, value)
    monkeypatch.setattr(storage, "ATTEMPTS", 1)


@pytest.fixture
def s3(server, monkeypatch):
    """The server's address in the environment, as a user has it; a bucket."""
    host, port = server.get_host_and_port()
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    bucket = boto3.resource(
        "s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id="AKIATEST", aws_secret_access_key=SECRET
    ).Bucket("sweeps")  # by its own settings: tests change the environment
    bucket.create()
    yield bucket
    bucket.objects.all().delete()


@pytest.fixture(params=["s3", "path"])
def place(request, tmp_path):
    """A storage of either kind."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://sweeps/ours"
    (tmp_path / "mount").mkdir()
    return str(tmp_path / "mount")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a run that nothing disturbed, without a storage."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "sweep.yaml").write_text(SWEEP)
    assert cli.main(["sweep", str(folder / "sweep.yaml"), "--results", str(folder), "--serial"]) == cli.OK
    return folder / "small"


def facts(folder):
    return {key: row.facts() for key, row in Ledger(folder / "rows.jsonl").rows.items()}


def sweep(file, results, place, *options):
    return cli.main(["sweep", str(file), "--results", str(results), "--storage", place, "--serial", *options])


def segments(uri):
    """Name and rows of every segment of the sweep."""
    there = Storage(uri, "small")
    try:
        return {n: (there.get(n) or b"").splitlines() for n in sorted(there.names) if "/rows/" in n}
    finally:
        there.close()


def assert_complete(folder, undisturbed, place):
    """Here and there: every row once, the same table, the same models and figures."""
    assert facts(folder) == facts(undisturbed)
    assert len((folder / "rows.jsonl").read_text().splitlines()) == CELLS
    assert (folder / "table.md").read_text() == (undisturbed / "table.md").read_text()
    lines = [json.loads(line)["key"] for name, rows in segments(place).items() if name.endswith(".jsonl") for line in rows]
    assert sorted(lines) == sorted(facts(undisturbed))
    there = Storage(place, "small")
    there.close()
    ours = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {".lock", ".status.json", "rows.jsonl"}
    theirs = {n.removeprefix("small/") for n in there.names if "/rows/" not in n} - {"lease.json"}
    assert {n for n in theirs if not n.startswith(".cache/")} == ours
    assert {n.split("/")[1] for n in theirs if n.startswith(".cache/")} == {"features"}
    assert there.get("small/table.md") == (folder / "table.md").read_bytes()
    assert ours >= {"sweep.yaml", "cells.json", "provenance.json", "table.md", "report.html", "rows.csv", "rows.parquet"}
    assert {Path(name).parts[0] for name in ours} >= {"models", "examples", "figures"}


def test_a_head_that_vanishes_with_its_disk_loses_only_the_job_in_flight(sweep_file, tmp_path, undisturbed, place, capsys):
    file, results = sweep_file(SWEEP), tmp_path / "r"
    command = [sys.executable, "-m", "hqc_ray.cli", "sweep", str(file), "--results", str(results), "--storage", place, "--serial"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while not (path := results / "small" / "rows.jsonl").exists() or path.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    local = path.read_bytes().count(b"\n")
    shutil.rmtree(results)  # with its cache
    before = sum(map(len, segments(place).values()))
    assert local - 2 <= before <= local + 2  # all but the job that was being written down
    assert before >= 2
    capsys.readouterr()

    assert sweep(file, results, place) == cli.OK
    err = capsys.readouterr().err
    assert f"{CELLS} cells, {before} done before, {(CELLS - before) // 2} jobs to do" in err  # no features, no training
    assert_complete(results / "small", undisturbed, place)


def test_a_finished_sweep_comes_back_whole_and_does_nothing(sweep_file, tmp_path, undisturbed, place, capsys):
    file = sweep_file(SWEEP.replace("name: small", f"name: small\nstorage: {place}"))
    assert cli.main(["sweep", str(file), "--results", str(tmp_path / "a"), "--serial"]) == cli.OK
    capsys.readouterr()
    assert cli.main(["sweep", str(file), "--results", str(tmp_path / "b"), "--serial"]) == cli.OK
    assert "8 done before, 0 jobs to do" in capsys.readouterr().err
    assert_complete(tmp_path / "b" / "small", undisturbed, place)
    assert len(json.loads((tmp_path / "b" / "small" / "provenance.json").read_text())["runs"]) == 2
    assert len(segments(place)) == JOBS
    for path in (tmp_path / "b").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_segment_that_is_half_there_is_set_aside_and_its_job_done_again(sweep_file, tmp_path, undisturbed, place, capsys):
    file = sweep_file(SWEEP)
    assert sweep(file, tmp_path / "a", place) == cli.OK
    name = list(segments(place))[1]
    there = Storage(place, "small")
    there.put(name, there.get(name)[:-300])
    there.close()
    capsys.readouterr()
    assert sweep(file, tmp_path / "b", place) == cli.OK
    err = capsys.readouterr().err
    assert "is damaged, and set aside" in err
    assert "6 done before, 1 job to do" in err
    assert_complete_but_for(tmp_path / "b" / "small", undisturbed, place, f"{name}.bad")
    assert sweep(file, tmp_path / "a", place) == cli.OK  # the first head comes back: its own rows stay, none is there twice
    assert facts(tmp_path / "a" / "small") == facts(undisturbed)


def assert_complete_but_for(folder, undisturbed, place, bad):
    assert bad in segments(place)
    there = Storage(place, "small")
    there._forget(bad)
    there.close()
    assert_complete(folder, undisturbed, place)


def test_a_storage_that_goes_away_ends_the_sweep_and_gets_what_it_lacks_later(
    sweep_file, tmp_path, undisturbed, s3, server, monkeypatch, capsys
):
    file, place = sweep_file(SWEEP), "s3://sweeps/ours"
    port, taken = server.get_host_and_port()[1], []
    original = Driver.take

    def take(self, outcomes, worker=""):
        taken.extend(outcome for outcome in outcomes if outcome.measured)
        if len(taken) == 2:
            server.stop()
        return original(self, outcomes, worker)

    monkeypatch.setattr(Driver, "take", take)
    began = time.monotonic()
    assert sweep(file, tmp_path / "r", place) == cli.FAILED
    assert time.monotonic() - began < 30
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hqc:")]
    assert lines == [f"hqc: storage {place}: cannot be reached; what was done is kept here, and the next run uploads it"]
    assert len(facts(tmp_path / "r" / "small")) in (2, 4)
    before = facts(tmp_path / "r" / "small")

    assert sweep(file, tmp_path / "r", place) == cli.BAD_INPUT  # still away
    assert "cannot be reached" in capsys.readouterr().err
    monkeypatch.undo()
    host = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    host.start()
    try:
        for name, value in (("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"), ("AWS_REGION", "us-east-1"),
                            ("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)):  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(lease, "STALE_SECONDS", 1.0)
        assert sweep(file, tmp_path / "r", place) == cli.OK
        assert f"{len(before)} done before" in capsys.readouterr().err
        assert_complete(tmp_path / "r" / "small", undisturbed, place)
    finally:
        server._server, server._thread = host._server, host._thread  # the module's server goes on as this one


def test_a_second_driver_is_refused_and_a_dead_ones_lease_is_outlived(sweep_file, tmp_path, place, monkeypatch, capsys):
    first = Storage(place, "small")
    began = time.monotonic()
    assert sweep(sweep_file(SMALL), tmp_path / "r", place) == cli.BAD_INPUT
    assert time.monotonic() - began < 10
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith(f"hqc: error: {place}: another driver is at work on this storage: process {os.getpid()} on ")
    assert not (tmp_path / "r" / "small" / "rows.jsonl").exists()
    first.lease._stop.set()  # it dies, and leaves its lease
    first.lease._thread.join()
    second = Storage(place, "small")
    with pytest.raises(ResultsError, match="another driver is at work"):
        Storage(place, "small")
    first.close()  # it was only asleep: it does not take the other's lease away
    with pytest.raises(ResultsError, match="another driver is at work"):
        Storage(place, "small")
    second.close()
    Storage(place, "small").close()
    monkeypatch.setattr(lease, "STALE_SECONDS", 60.0)
    there = Storage(place, "small")
    there.close()
    there._put("small/lease.json", json.dumps({"token": "x", "renewed": time.time() - 3600}).encode())
    Storage(place, "small").close()  # one of an hour ago is not waited for


def test_a_driver_whose_lease_was_taken_over_writes_no_more(place):
    first = Storage(place, "small")
    first._put("small/lease.json", json.dumps({"token": "another", "renewed": time.time()}).encode())
    first.lease._thread.join(timeout=5)
    with pytest.raises((WriteError, ResultsError), match="another driver has taken it over"):
        first.append("row\n")
    first.close()
    assert json.loads(first.get("small/lease.json"))["token"] == "another"  # noqa: S105


def test_a_failure_gives_way_to_a_result_on_both_sides_and_results_stay(tmp_path, place):
    ledger = Ledger(tmp_path / "rows.jsonl")
    ledger.append([row("a", status="failed"), row("b", host="ours"), row("c", status="failed"), row("d", host="ours")])
    there = Storage(place, "small")
    theirs = [row("a", host="theirs"), row("b", host="theirs"), row("c", status="failed"), row("d", status="failed"), row("e")]
    for one in [row("a", status="failed"), *theirs, row("e", host="late")]:
        there.append(one.model_dump_json() + "\n")
    merge(ledger, there)
    assert {k: (r.status, r.host) for k, r in ledger.rows.items()} == {
        "a": ("ok", "theirs"), "b": ("ok", "ours"), "c": ("failed", ""), "d": ("ok", "ours"), "e": ("ok", ""),
    }  # fmt: skip
    fresh = Ledger(tmp_path / "fresh.jsonl")
    merge(fresh, there)
    assert {k: r.status for k, r in fresh.rows.items()} == {k: r.status for k, r in ledger.rows.items()}
    count = there.number
    merge(ledger, there)
    merge(fresh, there)
    assert there.number == count  # nothing more to bring
    there.close()


def test_many_segments_are_packed_into_one_that_holds_them_all(tmp_path, place, monkeypatch):
    monkeypatch.setattr(storage, "MAX_SEGMENTS", 5)
    there = Storage(place, "small")
    for i in range(6):
        there.append(row(str(i)).model_dump_json() + "\n")
    ledger = Ledger(tmp_path / "rows.jsonl")
    deleted = []
    with monkeypatch.context() as death:  # between the new one and the old ones
        death.setattr(there, "_forget", deleted.append)
        merge(ledger, there)
    assert len(deleted) == 6
    again = Ledger(tmp_path / "again.jsonl")
    merge(again, there)
    there.close()
    assert again.rows == ledger.rows
    assert again.done() == set("012345")
    assert [len(rows) for rows in segments(place).values()] == [6]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://no-such-bucket/x", "no such bucket"),
        ("s3://", "not a storage"),
        ("ftp://host/x", "not a storage: 'ftp://host/x'"),
        ("s3://AKIATEST:hunter2hunter2@sweeps/x", "a storage URI has no credentials"),
        ("s3://sweeps/x?secret_key=hunter2hunter2", "a storage URI has no credentials"),
        ("/no/such/mount", "no such folder; is it mounted?"),
        ("${HQC_NOT_SET}/x", "the environment variable HQC_NOT_SET is not set"),
        ("", "not a storage: ''"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_in_one_line(sweep_file, tmp_path, s3, capsys, uri, says):
    assert sweep(sweep_file(SMALL), tmp_path / "r", uri) == cli.BAD_INPUT
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert says in err
    assert SECRET not in err
    assert not list((tmp_path / "r").rglob("*.pt"))


def test_without_credentials_or_a_server_it_is_refused_in_one_line(sweep_file, tmp_path, s3, monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sweep(sweep_file(SMALL), tmp_path / "r", "s3://sweeps/x") == cli.BAD_INPUT
    assert "storage s3://sweeps/x: refused: ACCESS_DENIED" in capsys.readouterr().err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert sweep(sweep_file(SMALL), tmp_path / "r", "s3://sweeps/x") == cli.BAD_INPUT
    assert "storage s3://sweeps/x: cannot be reached" in capsys.readouterr().err
    assert sweep(sweep_file(SMALL), tmp_path, str(tmp_path)) == cli.BAD_INPUT
    assert "the storage is the results folder itself" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["5", "[a, b]", "ftp://x/y", "s3://key:hunter2hunter2@bucket"])
def test_a_bad_storage_in_the_sweep_file_is_refused_by_the_plan(sweep_file, capsys, value):
    assert cli.main(["plan", str(sweep_file(SMALL.replace("name: small", f"name: small\nstorage: {value}")))]) == cli.BAD_INPUT
    err = capsys.readouterr().err
    assert "sweep.yaml, line 3: storage: " in err
    assert "valid: s3://BUCKET/PREFIX" in err
    assert SECRET not in err


def test_the_command_line_wins_and_no_result_names_it(sweep_file, tmp_path):
    (tmp_path / "mount").mkdir()
    file = sweep_file(SMALL.replace("name: small", 'name: small\nstorage: "${NOWHERE}"'))
    run.execute(file, tmp_path / "r", serial=True, storage=str(tmp_path / "mount"), console=QUIET)
    assert (tmp_path / "mount" / "small" / "sweep.yaml").read_bytes() == (tmp_path / "r" / "small" / "sweep.yaml").read_bytes()
    assert "storage: ${NOWHERE}" in (tmp_path / "r" / "small" / "sweep.yaml").read_text()
