"""Ray on the lab's hosts, brought up by `ray up` from the laptop with the project's own file, and sweeps on it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from hqc_ray.results.ledger import read
from hqc_ray.results.row import Row
from tests.cluster.lab.hosts import Host, Lab

FILE = Path(__file__).parents[3] / "cluster" / "local.yaml"
MEMORY = "--memory=2000000000 --object-store-memory=150000000"  # or each host believes that it owns the machine
ALIVE = """
import sys, time
from ray._raylet import GcsClient
client = GcsClient(address=open("/tmp/ray/ray_current_cluster").read().strip())
expected, deadline = sys.argv[1].split(","), time.time() + float(sys.argv[2])
while True:
    alive = sorted(n.node_manager_address for n in client.get_all_node_info().values() if n.state == 0)
    if alive == expected:
        sys.exit()
    if time.time() > deadline:
        sys.exit(f"alive are {alive}")
    time.sleep(0.3)
"""


class Cluster:
    """The cluster of a lab's hosts `head`, `w1`, `w2`. `lab` is up."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.head, self.laptop = lab, lab["head"], lab.laptop
        self.workers = [host for name, host in lab.hosts.items() if name not in ("laptop", "head")]

    def configuration(self) -> dict[str, Any]:
        """The project's on-premise file with the lab's hosts, user, key and Python, one CPU a worker, and bounded memory."""
        config = yaml.safe_load(FILE.read_text())
        config["provider"].update(head_ip=self.head.address, worker_ips=[w.address for w in self.workers])
        config["auth"].update(ssh_user="root", ssh_private_key="~/.ssh/key")
        # Python and the packages come with the lab's hosts, which have no way to the outside
        config["setup_commands"] = [c for c in config["setup_commands"] if "/uv" not in c]
        for name, more in (("head_start_ray_commands", MEMORY), ("worker_start_ray_commands", f"--num-cpus=1 {MEMORY}")):
            config[name] = [c.replace("ray start ", f"ray start {more} ") for c in config[name]]
        return config

    def up(self) -> str:
        """`ray up`, then wait until every host is a node of the cluster."""
        (self.laptop.home / "local.yaml").write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        output = self.laptop.run("cd hqc_ray && ray up -y ~/local.yaml", seconds=200)
        self.wait(180)
        return output

    def down(self) -> str:
        """`ray down`."""
        return self.laptop.run("ray down -y local.yaml", seconds=120)

    def wait(self, seconds: float, hosts: list[Host] | None = None) -> None:
        """Wait until exactly these hosts (all of them) are nodes that are alive.

        Raises:
            RuntimeError: they are not within so many seconds; it says which are.
        """
        expected = ",".join(sorted(h.address for h in (hosts or [self.head, *self.workers])))
        (self.head.home / "alive.py").write_text(ALIVE)
        self.head.run(f"python alive.py {expected} {seconds}", seconds=seconds + 30)

    def sweep(self, file: str = "sweep.yaml", results: str = "results", options: str = "--address auto") -> subprocess.Popen[str]:
        """`hqc sweep` on the head, as a user types it there."""
        return self.head.popen(f"exec hqc sweep {file} --results {results} {options}")

    def ledger(self, results: str) -> Path:
        """The ledger of the lab's sweep in a results folder on the head."""
        return self.head.path(f"root/{results}/lab/rows.jsonl")

    def rows(self, results: str) -> list[Row]:
        """The rows there, in its order; of a cell that failed and then succeeded there are two."""
        path = self.ledger(results)
        return list(read(path)) if path.exists() else []
