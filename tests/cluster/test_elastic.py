"""A cluster that starts without a CPU, as the cloud files' do, grows and loses a node; and one that is shared."""

import pytest
import ray
from rich.console import Console

from hqc_ray.sweep import run
from hqc_ray.sweep.tune import runner
from tests.sweep.conftest import TINY

QUIET = Console(quiet=True)


@pytest.fixture
def cluster(monkeypatch):
    """A head that runs no trials; nodes are added by the test."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    (folder / "tiny.yaml").write_text(TINY)
    return folder / "tiny.yaml", run.execute(folder / "tiny.yaml", folder, serial=True, console=QUIET).rows


def same(ours, theirs):
    measured = ["seconds", "host", "finished_at"]
    return ours.drop(columns=measured).equals(theirs.drop(columns=measured))


def test_a_sweep_waits_for_the_first_node_uses_a_later_one_and_survives_the_loss_of_the_first(
    cluster, serial, tmp_path, monkeypatch
):
    file, expected = serial
    asked, nodes = [], []
    fit, take = runner._fit, runner.Driver.take

    def grow(driver, dispatcher, stopper, tickets, *rest):
        asked.append(tickets)
        nodes.append(cluster.add_node(num_cpus=1, object_store_memory=10**8))
        return fit(driver, dispatcher, stopper, tickets, *rest)

    def lose(self, outcomes, worker=""):
        found = take(self, outcomes, worker)
        if len(nodes) == 1:
            nodes.append(cluster.add_node(num_cpus=1, object_store_memory=10**8))
            cluster.remove_node(nodes[0], allow_graceful=False)
        return found

    monkeypatch.setattr(runner, "_fit", grow)
    monkeypatch.setattr(runner.Driver, "take", lose)
    finished = run.execute(file, tmp_path, address=cluster.address, console=QUIET)
    assert asked == [1]  # a minute of work or less: one worker is what an autoscaler is asked for, although there is no CPU yet
    assert (finished.failed, finished.missing) == (0, 0)
    assert nodes[1].node_id[:8] in {host.split("/")[1] for host in finished.rows["host"]}
    assert same(finished.rows, expected)


def test_workers_leaves_the_rest_of_a_shared_cluster_to_others(cluster, serial, tmp_path):
    file, expected = serial
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
    finished = run.execute(file, tmp_path, address=cluster.address, workers=1, console=QUIET)
    assert finished.rows["host"].nunique() == 1
    assert same(finished.rows, expected)
