"""Hosts on one machine: each with its own network, addresses, processes, name, disk and sshd; nothing of the machine is changed.

A host is a process in namespaces of its own (network, mount, pid, uts, ipc) whose root folder lies in the lab's folder: system
folders and what is named as `shared` are visible read-only, all else is its own. The kernel ends all hosts when the process
that made them ends, however it ends.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INIT = Path(__file__).parent / "init.sh"
TOOLS = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "unshare": "util-linux"}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")
CGROUPS = Path("/sys/fs/cgroup/memory")
SSHD = """
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""


def missing() -> str:
    """Why this machine cannot make a lab; empty if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "the lab needs Linux and root, for namespaces"
    if packages := sorted({package for tool, package in TOOLS.items() if shutil.which(tool, path=PATH) is None}):
        return f"the lab needs Debian's {', '.join(packages)}"
    command = ["unshare", *NAMESPACES, "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(command, capture_output=True, text=True)
    return f"the lab needs namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def can_bound_memory() -> bool:
    """Whether a control group with a memory limit can be made here (version 1 of them)."""
    own = _own_cgroup()
    return (own / "memory.limit_in_bytes").exists() and os.access(own, os.W_OK)


def _own_cgroup() -> Path:
    lines = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.split(":")[1] == "memory"]
    return CGROUPS / lines[0].split(":")[2].lstrip("/") if lines else Path("/nowhere")


def wait_for(what: str, seconds: float, ready: Callable[[], Any]) -> Any:
    """The first true value of `ready`.

    Raises:
        TimeoutError: not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return found


class Host:
    """One host.

    Args:
        name: its host name.
        address: in the lab's network.
        folder: its disk (`root`) and its configuration.
        shared: folders of the machine that it sees, read-only.
        environment: variables of every login and command on it.
        memory: bytes that its processes may take together; None: no limit of its own.
    """

    def __init__(
        self,
        name: str,
        address: str,
        folder: Path,
        shared: Sequence[Path],
        environment: dict[str, str],
        memory: int | None = None,
    ) -> None:
        self.name, self.address, self.folder, self.shared, self.environment = name, address, folder, shared, environment
        self.memory = memory
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0  # of its first process, as the machine sees it; 0: it is down
        self.root = folder / "root"
        self.home = self.root / "root"

    def start(self) -> None:
        """Start its first process and wait until it is ready; `Lab.start` connects it."""
        (self.root / "run").mkdir(parents=True, exist_ok=True)
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child", "--propagation", "private"]
        environment = {"PATH": PATH, "HOME": "/root", **self._limits()}
        with (self.folder / "init.log").open("wb") as log:
            init = ["bash", str(INIT), self.name, str(self.folder), *map(str, self.shared)]
            self.process = subprocess.Popen(
                [*command, *init], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            self.pid = int(wait_for(f"{self.name} starts", 10, lambda: children.exists() and children.read_text().split())[0])
            wait_for(f"{self.name} is ready", 10, self.path("run/ready").exists)
        except (TimeoutError, OSError) as problem:
            raise RuntimeError(f"{self.name}: {(self.folder / 'init.log').read_text()}") from problem

    def kill(self) -> None:
        """The plug is pulled: all its processes die at once; its disk stays."""
        if self.process is not None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)  # all its processes go with its first
            else:
                self.process.kill()
            self.process.wait()
        self.process, self.pid = None, 0
        if self.memory and self._cgroup().exists():
            wait_for("its control group is empty", 20, self._remove_cgroup)

    def popen(self, command: str, **options: Any) -> subprocess.Popen[str]:
        """A login shell's command on the host, as its root user."""
        inside = ["nsenter", "--target", str(self.pid), *NAMESPACES]
        environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        if self.memory:
            inside = ["bash", "-c", f'echo $$ > {self._cgroup()}/cgroup.procs; exec "$@"', "_", *inside]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True, **options}
        return subprocess.Popen([*inside, "bash", "--login", "-c", f"cd; {command}"], env=environment, **options)

    def run(self, command: str, seconds: float = 120, check: bool = True) -> str:
        """What the command prints, both streams.

        Raises:
            RuntimeError: it fails, and `check`.
        """
        process = self.popen(command)
        try:
            output = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as problem:
            process.kill()
            raise TimeoutError(f"{self.name}: {command}: more than {seconds} s:\n{process.communicate()[0]}") from problem
        if check and process.returncode:
            raise RuntimeError(f"{self.name}: {command}: exit code {process.returncode}:\n{output}")
        return output

    def pids(self, pattern: str) -> list[int]:
        """Its processes whose command line matches, by the ids that they have on the machine, the oldest first."""
        own = f"/proc/{self.pid}/ns/pid"
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "ns" / "pid") == os.readlink(own):
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found += [int(process.name)] if re.search(pattern, line) else []
            except OSError:
                continue  # it ended meanwhile
        return sorted(found)

    def path(self, path: str) -> Path:
        """A path of the host, without its leading slash; while it is up, what is mounted there can be seen."""
        return (Path(f"/proc/{self.pid}/root") if self.pid else self.root) / path

    def received(self) -> int:
        """Bytes that have come in from the other hosts since it was connected."""
        return int(self.path("sys/class/net/eth0/statistics/rx_bytes").read_text())

    def _cgroup(self) -> Path:
        return _own_cgroup() / f"{self.folder.parent.parent.name}-{self.folder.parent.name}-{self.name}"

    def _limits(self) -> dict[str, str]:
        if not self.memory:
            return {}
        self._cgroup().mkdir(exist_ok=True)
        (self._cgroup() / "memory.limit_in_bytes").write_text(str(self.memory))
        return {"MEMORY_CGROUP": str(self._cgroup())}

    def _remove_cgroup(self) -> bool:
        try:
            self._cgroup().rmdir()
        except OSError:
            return False
        return True


class Lab:
    """A laptop and hosts in one network, 10.77.0.0/24, which leads nowhere else.

    Args:
        folder: the lab's own; its name is the lab's name.
        hosts: names; the first is 10.77.0.2.
        shared: folders that all hosts see, read-only.
        environment: variables of every login on every host; they may name others, such as $PATH.
        laptop: further ones on the laptop.
        memory: by host name, bytes that the host has.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[str],
        shared: Sequence[Path],
        environment: dict[str, str],
        laptop: dict[str, str],
        memory: dict[str, int] | None = None,
    ) -> None:
        self.folder = folder
        self.hosts = {"laptop": Host("laptop", "10.77.0.1", folder / "laptop", shared, environment | laptop)}
        for number, name in enumerate(hosts, 2):
            self.hosts[name] = Host(name, f"10.77.0.{number}", folder / name, shared, environment, (memory or {}).get(name))
        self.laptop = self.hosts["laptop"]

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def up(self) -> None:
        """Make and start all hosts. The laptop's key opens every other host."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _keygen(self.folder / "key")
        names = "".join(f"{h.address} {h.name}\n" for h in self.hosts.values())
        for host in self.hosts.values():
            for folder in (host.home / ".ssh", host.folder / "ssh"):
                folder.mkdir(parents=True, mode=0o700)
            shutil.copy(self.folder / "key.pub", host.home / ".ssh" / "authorized_keys")
            _keygen(host.folder / "ssh" / "ssh_host_ed25519_key")
            (host.folder / "ssh" / "sshd_config").write_text(SSHD)
            (host.folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
            exports = "".join(f'export {name}="{value}"\n' for name, value in host.environment.items())
            (host.home / ".bashrc").write_text(exports)
            (host.home / ".profile").write_text(". ~/.bashrc\n")
        shutil.copy(self.folder / "key", self.laptop.home / ".ssh" / "key")
        for host in self.hosts.values():
            self.start(host)

    def start(self, host: Host) -> None:
        """Start a host and plug its cable in."""
        host.start()
        if host is self.laptop:  # the switch is in the laptop
            self._ip(host, f"link add switch type bridge; addr add {host.address}/24 dev switch; link set switch up")
            return
        self._ip(self.laptop, f"link del dev {host.name}", check=False)  # its last one: the kernel removes it, in its own time
        self._ip(self.laptop, f"link add name {host.name} type veth peer name eth0 netns {host.pid}")
        self._ip(self.laptop, f"link set dev {host.name} master switch up")
        # the default route leads nowhere: Ray finds a node's address by asking for the way to the outside
        self._ip(host, f"addr add {host.address}/24 dev eth0; link set eth0 up; route add default via {self.laptop.address}")

    def cut(self, host: Host) -> None:
        """Its cable is cut somewhere in the middle: nothing arrives any more, and no one is told."""
        self._ip(self.laptop, f"link set dev {host.name} nomaster")

    def mend(self, host: Host) -> None:
        """The cable is mended."""
        self._ip(self.laptop, f"link set dev {host.name} master switch")

    def down(self) -> None:
        """All hosts end; the folder stays."""
        for host in reversed(self.hosts.values()):
            host.kill()

    def _ip(self, host: Host, commands: str, check: bool = True) -> None:
        batch = "\n".join(c.strip() for c in commands.split(";"))
        command = ["nsenter", "--target", str(host.pid), "--net", "ip", "-batch", "-"]
        subprocess.run(command, input=batch, text=True, check=check, stderr=None if check else subprocess.DEVNULL)


@contextmanager
def lab(*args: Any, **options: Any) -> Iterator[Lab]:
    """A running lab, which is gone afterwards whatever happens."""
    made = Lab(*args, **options)
    try:
        made.up()
        yield made
    finally:
        made.down()


def _keygen(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)], check=True)
