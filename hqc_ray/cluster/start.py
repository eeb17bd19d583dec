"""The commands that start Ray on each node: do they form one cluster that only its owner can use?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hqc_ray.cluster.finding import WHOLE, Finding, mapping, provider

HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
WORKER_PORTS = range(10002, 20000)  # Ray gives these to its workers, and refuses to start with another service among them
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN = ".ray/auth_token"  # noqa: S105  (a path)


def start(config: dict[str, Any]) -> Iterator[Finding]:
    """Ports that do not match, a head that launches no workers, a public dashboard, authentication on one side only."""
    lists = {key: config.get(key) for key in (HEAD, WORKER)}
    if not all(isinstance(commands, list) and all(isinstance(c, str) for c in commands) for commands in lists.values()):
        for key in (key for key, commands in lists.items() if commands is None):
            what = "missing: Ray's own list listens on every interface or counts the head as a worker"
            yield Finding(key, what, "as in this project's cluster files", warning=True)
        return
    head, worker = (_ray_start(lists[key] or []) for key in (HEAD, WORKER))
    for key, command, needed in ((HEAD, head, "--head"), (HEAD, head, "--autoscaling-config"), (WORKER, worker, "--address")):
        if needed not in command:
            yield Finding(key, f"no `ray start {needed}`", f"ray start {needed}{'' if needed == '--head' else '=...'}")
    yield from _ports(head, worker)
    host = _option(head, "dashboard-host")
    if host and host not in LOOPBACK:
        yield Finding(HEAD, f"--dashboard-host={host} lets others submit jobs", "--dashboard-host=127.0.0.1", warning=True)
    yield from _authentication(config, head, worker)
    if provider(config) == "local":
        if "RAY_enable_autoscaler_v2=0" not in head:
            what = "version 2 of Ray's autoscaler counts this head as a worker, and one never starts"
            yield Finding(HEAD, what, "RAY_enable_autoscaler_v2=0 in front of `ray start`")
        for key, commands in lists.items():
            if any(re.search(r"\bray stop\b", command) for command in commands or []):
                what = "`ray stop` ends every Ray that this user has on the host"
                yield Finding(key, what, "the first command of cluster/local.yaml", warning=True)


def _ray_start(commands: list[str]) -> str:
    return " ".join(command for command in commands if "ray start" in command)


def _option(command: str, name: str) -> str | None:
    found = re.search(rf"--{name}[= ]+(\S+)", command)
    return found[1].strip("'\"") if found else None


def _ports(head: str, worker: str) -> Iterator[Finding]:
    port, address = _option(head, "port") or "6379", _option(worker, "address") or ""
    if address and not address.endswith(f":{port}"):
        yield Finding(WORKER, f"--address={address}, and the head listens on port {port}", f"--address=$RAY_HEAD_IP:{port}")
    for name in ("port", "dashboard-port", "ray-client-server-port", "object-manager-port", "node-manager-port"):
        for key, command in ((HEAD, head), (WORKER, worker)):
            text = _option(command, name)
            if text and text.isdigit() and int(text) in WORKER_PORTS:
                yield Finding(key, f"--{name}={text} is among the ports of Ray's workers", "below 10002, or from 20000")
    for key, command in ((HEAD, head), (WORKER, worker)):
        count = _option(command, "num-gpus")
        if count and not count.isdigit() and not count.startswith("$"):
            yield Finding(key, f"--num-gpus={count}", WHOLE)


def _authentication(config: dict[str, Any], head: str, worker: str) -> Iterator[Finding]:
    modes = {}
    for key, command in ((HEAD, head), (WORKER, worker)):
        found = re.search(r"\bRAY_AUTH_MODE=(\w+)", command)
        modes[key] = found[1] if found else None
    if modes[HEAD] != modes[WORKER]:
        said = " and ".join(f"{mode or 'nothing'} in {key}" for key, mode in modes.items())
        yield Finding("RAY_AUTH_MODE", f"{said}: tasks run, and every actor dies", "token in both")
    elif modes[HEAD] != "token":
        yield Finding("RAY_AUTH_MODE", "whoever reaches the head's port can run code there", "token, in both lists", warning=True)
    mounted = [str(remote) for remote in mapping(config, "file_mounts")]
    if "token" in modes.values() and not any(remote.endswith(TOKEN) for remote in mounted):
        yield Finding("file_mounts", "no authentication token, and RAY_AUTH_MODE=token asks for one", f"~/{TOKEN}: ~/{TOKEN}")
