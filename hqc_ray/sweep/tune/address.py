"""Checks `--address` before Ray does, which waits a minute or more and then says less."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hqc_ray.errors import InputError

CONNECT_SECONDS = 5.0
ELSEWHERE = "from any other machine: hqc submit FILE --address http://HEAD:8265"
TOKEN = "RAY_AUTH_MODE and the token as on the head"  # noqa: S105  # says where a token is
VALID = f"auto or HOST:PORT, on a node of the cluster; {ELSEWHERE}"


def check(address: str) -> None:
    """Refuse an address that no sweep can run on: the driver keeps the ledger, so it runs on a node, as a job or by hand.

    Raises:
        InputError: an address of another kind, nothing that answers there, or no Ray on this machine.
    """
    where = f"--address {address}"
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
        where = where if address == "auto" else f"RAY_ADDRESS={address}"
    if "://" in address:
        raise InputError("a driver that keeps a ledger cannot run through Ray Client or the dashboard", where=where, valid=VALID)
    if address == "auto":
        return  # Ray finds a cluster of this machine, or says at once that there is none
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise InputError("not an address", where=where, valid=VALID)
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as problem:
        raise InputError(f"nothing answers there: {problem}", where=where, valid=VALID) from problem
    if not _is_a_node():
        raise InputError("this machine is not a node of that cluster: no raylet runs here", where=where, valid=VALID)


def refused(address: str, problem: ConnectionError) -> InputError:
    """The error for a cluster that answers but refuses this process: it is another machine's, or has another token."""
    return InputError(f"no Ray cluster admits this process: {problem}", where=f"--address {address}", valid=f"{VALID}; {TOKEN}")


def _is_a_node() -> bool:
    """Whether a raylet runs on this machine, found as Ray finds it: by its command line."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = process.read_bytes().split(b"\0", 1)[0]
        except OSError:  # it ended meanwhile
            continue
        if program.endswith(b"/raylet"):
            return True
    return False
