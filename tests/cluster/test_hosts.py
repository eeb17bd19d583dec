"""The lab itself: hosts that see each other and nothing else, and that are gone with whoever made them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.lab import hosts

pytestmark = pytest.mark.lab
SSH = "ssh -i ~/.ssh/key -o StrictHostKeyChecking=no -o ConnectTimeout=2 -o LogLevel=ERROR"


@pytest.fixture
def pair(tmp_path):
    if reason := hosts.missing():
        pytest.skip(reason)
    memory = {"b": 100_000_000} if hosts.can_bound_memory() else {}
    with hosts.lab(tmp_path / "lab", ["a", "b"], [], {}, {}, memory) as made:
        yield made


def test_hosts_share_a_network_and_no_disk(pair):
    assert pair.laptop.run(f"{SSH} a 'hostname; hostname > here; ls /tmp ~'") == "a\n/root:\nhere\n\n/tmp:\n"
    assert pair["a"].run("cat here") == "a\n"
    assert "No such file" in pair["b"].run("cat here", check=False)
    assert pair["a"].run("touch /usr/here", check=False).endswith("Read-only file system\n")
    assert pair["a"].run("cd /; ls dev/shm tmp") == "dev/shm:\n\ntmp:\n"
    assert pair["a"].run("ip -brief link | cut -d' ' -f1").split() == ["lo", "eth0@if3"]


def test_a_cut_cable_a_plug_that_is_pulled_and_what_survives(pair):
    pair.cut(pair["b"])
    assert "timed out" in pair.laptop.run(f"{SSH} b hostname", check=False)
    assert pair.laptop.run(f"{SSH} a hostname") == "a\n"
    pair.mend(pair["b"])
    hosts.wait_for("b answers", 150, lambda: pair.laptop.run(f"{SSH} b 'echo kept > file; hostname'", check=False) == "b\n")
    pair["b"].kill()
    assert pair.laptop.run(f"{SSH} b hostname", check=False).startswith("ssh: connect to host b port 22: ")
    pair.start(pair["b"])
    hosts.wait_for("b answers", 150, lambda: pair.laptop.run(f"{SSH} b cat file", check=False) == "kept\n")


def test_a_host_has_no_more_memory_than_it_was_given(pair):
    if not pair["b"].memory:
        pytest.skip("no control group can be made here")
    take = "head -c 200000000 /dev/zero | tail -n 1 > /dev/null; echo ${PIPESTATUS[1]}"  # tail keeps the one line that it has
    assert pair["b"].run(take).splitlines()[-1] == "137"
    assert pair["a"].run(take).splitlines()[-1] == "0"


def test_hosts_end_with_a_maker_that_is_killed(tmp_path):
    if reason := hosts.missing():
        pytest.skip(reason)
    code = f"""
import time
from pathlib import Path
from tests.cluster.lab import hosts
with hosts.lab(Path("{tmp_path}/lab"), ["a"], [], {{}}, {{}}) as lab:
    print(*(host.pid for host in lab.hosts.values()), flush=True)
    time.sleep(60)
"""
    checkout = Path(__file__).parents[2]
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=checkout)
    assert maker.stdout
    pids = [int(pid) for pid in maker.stdout.readline().split()]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    hosts.wait_for("the hosts end", 10, lambda: not any(Path(f"/proc/{pid}/ns/pid").exists() for pid in pids))
