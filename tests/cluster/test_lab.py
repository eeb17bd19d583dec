"""From the laptop to the table: `ray up` on the project's on-premise file, a sweep on every host, `ray down`."""

import time

import pytest

from tests.cluster.conftest import facts

pytestmark = pytest.mark.lab


def test_a_sweep_on_three_hosts_gives_the_table_of_a_serial_run(cluster, undisturbed):
    workers = [cluster.head, *cluster.workers]
    before = [host.received() for host in workers]
    began = time.monotonic()
    process = cluster.sweep()
    output = process.communicate(timeout=300)[0]
    print(output, time.monotonic() - began)
    assert process.returncode == 0, output
    assert facts(cluster.rows()) == undisturbed
    for host, bytes_before in zip(workers, before, strict=True):
        print(host.name, host.received() - bytes_before)
    assert not list(cluster.workers[0].root.rglob("*.png"))
