"""From the laptop to the table: `ray up` on the project's on-premise file, a sweep on every host, `ray down`; faults, counted."""

import signal
import time

import pytest

from tests.cluster.conftest import write_sweep
from tests.cluster.lab import faults, hosts
from tests.cluster.lab.faults import Disturbed

pytestmark = pytest.mark.lab
RAYLET = r"^\S*/raylet/raylet "


def test_a_sweep_on_every_host_gives_the_table_of_a_serial_run(cluster, undisturbed):
    before = [host.received() for host in cluster.workers]
    sweep = Disturbed(cluster, "clean")
    sweep.complete(undisturbed)
    sweep.record("none", "")
    assert len(sweep.nodes()) == len(cluster.workers)
    for host, bytes_before in zip(cluster.workers, before, strict=True):
        assert host.received() - bytes_before > (cluster.head.home / "squeezenet1_1.pth").stat().st_size
        assert not [path for name in ("*.png", "*.pth", "troubles.py") for path in host.home.rglob(name)]


def test_a_trial_is_killed(cluster, undisturbed):
    sweep = Disturbed(cluster, "trial")
    sweep.everywhere()
    faults.signal(cluster.workers[0].pids(faults.TRIAL), signal.SIGKILL)
    seconds = sweep.next_row()
    sweep.complete(undisturbed)
    sweep.record("kill -9 of a trial's process", "Tune starts it again", seconds)


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (signal.SIGKILL, "kill -9 of a raylet"),
        pytest.param(signal.SIGTERM, "SIGTERM of a raylet (spot)", marks=pytest.mark.byhand),
    ],
)
def test_a_raylet_ends(cluster, undisturbed, number, what):
    cluster.wait(150)
    sweep = Disturbed(cluster, f"raylet{number}")
    sweep.everywhere()
    faults.signal(cluster.workers[0].pids(RAYLET), number)
    seconds = sweep.next_row()
    sweep.complete(undisturbed)
    sweep.record(what, "the other host goes on", seconds)


def test_the_driver_is_killed_a_second_one_is_refused_and_the_same_command_goes_on(cluster, undisturbed):
    sweep = Disturbed(cluster, "driver")
    hosts.wait_for("the driver is at work", 60, cluster.head.path("root/driver/lab/cells.json").exists)
    second = cluster.sweep(results="driver")
    output = second.communicate(timeout=60)[0]
    assert (second.returncode, output.count("\n")) == (2, 1), output
    assert "another driver is at work in this results folder" in output
    sweep.next_row()
    before = sweep.ledger
    faults.signal([sweep.driver()], signal.SIGKILL)
    sweep.ended()
    sweep.again()
    seconds = sweep.next_row()
    assert sweep.ledger.startswith(before)
    before = sweep.ledger
    faults.signal([sweep.driver()], signal.SIGTERM)
    code, output = sweep.ended()
    assert code == 130, output
    assert "the same command goes on" in output
    assert sweep.ledger.startswith(before)
    sweep.again()
    again = sweep.next_row()
    sweep.complete(undisturbed)
    sweep.record("kill -9 of the driver", "the same command", seconds)
    sweep.record("SIGTERM of the driver", "the same command", again)


def test_a_host_dies(cluster, undisturbed):
    cluster.wait(150)
    sweep = Disturbed(cluster, "host")
    sweep.everywhere()
    cluster.workers[1].kill()
    seconds = sweep.next_row()
    cluster.lab.start(cluster.workers[1])  # the autoscaler will start Ray on it
    sweep.complete(undisturbed)
    sweep.record("a host is switched off", "the other host goes on", seconds)


def test_the_head_dies_and_ray_up_brings_it_back(cluster, undisturbed):
    cluster.wait(150)
    sweep = Disturbed(cluster, "head")
    sweep.everywhere()
    before = sweep.ledger
    cluster.head.kill()
    began = time.monotonic()
    sweep.ended()
    cluster.lab.start(cluster.head)
    assert sweep.ledger.startswith(before)
    cluster.up()
    sweep.again()
    sweep.next_row()
    seconds = time.monotonic() - began
    sweep.complete(undisturbed)
    sweep.record("the head is switched off", "`ray up`, then the same command", seconds)


def test_cells_that_fail_or_take_all_memory_are_recorded_and_the_others_are_done(cluster, undisturbed):
    if not cluster.workers[0].memory:
        pytest.skip("no control group can be made here: a host's memory has no bound of its own")
    cluster.wait(150)
    write_sweep(cluster.head.home, "troubled.yaml", more=["Poisoned", "Hungry"])
    sweep = Disturbed(cluster, "troubled", "troubled.yaml")
    code, output = sweep.ended()
    assert code == 1, output
    rows = {row.key: row for row in cluster.rows("troubled")}
    failed = {row.attack.rpartition(":")[2]: row.error for row in rows.values() if row.status == "failed"}
    assert sorted(failed) == ["Hungry", "Poisoned"]
    assert "ZeroDivisionError: poison" in failed["Poisoned"]
    assert "process died 4 times" in failed["Hungry"]
    assert "memory" in failed["Hungry"]
    assert {key: row.facts() for key, row in rows.items() if row.status == "ok"} == undisturbed
    sweep.record("a trial takes all memory of its host, always", "tried 4 times, then a failed row")


@pytest.mark.byhand
def test_the_network_of_a_host_is_cut_and_restored(cluster, undisturbed):
    sweep = Disturbed(cluster, "network")
    sweep.everywhere()
    cluster.lab.cut(cluster.workers[0])
    began = time.monotonic()
    hosts.wait_for("the job of the host that is cut off", 200, lambda: sweep.process.poll() is not None)
    sweep.complete(undisturbed)
    sweep.record("a network is cut, silently", "declared dead, the other host goes on", time.monotonic() - began)
    cluster.lab.mend(cluster.workers[0])
    cluster.wait(150)


@pytest.mark.byhand
def test_hosts_come_back(cluster):
    cluster.wait(150)
    faults.signal(cluster.workers[0].pids(RAYLET), signal.SIGKILL)
    began = time.monotonic()
    cluster.wait(30, [cluster.head, cluster.workers[1]])
    cluster.wait(150)
    faults.record("a raylet ended: Ray is back on its host", "the autoscaler", None, time.monotonic() - began)
    cluster.workers[1].kill()
    cluster.lab.start(cluster.workers[1])
    began = time.monotonic()
    cluster.wait(90, [cluster.head, cluster.workers[0]])
    cluster.wait(150)
    faults.record("a host was switched off and on: Ray is back on it", "the autoscaler", None, time.monotonic() - began)


def test_ray_down_leaves_nothing_on_the_hosts(cluster):
    """The last test: afterwards there is no cluster."""
    cluster.down()
    hosts.wait_for("the head's Ray ends", 30, lambda: not cluster.head.pids(r"raylet|gcs_server"))
