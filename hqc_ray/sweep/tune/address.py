"""Checks `--address` before Ray does, which waits a minute or more and then says less."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hqc_ray.errors import InputError

CONNECT_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
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
    here = _clusters()
    if address == "auto":
        if here and all(map(_silent, here)):  # of none at all Ray says so at once
            what = "the Ray that runs here is that of another sweep, and takes nothing else in"
            raise InputError(what, where=where, valid=f"{VALID}; a sweep without --address has a Ray of its own")
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise InputError("not an address", where=where, valid=VALID)
    if problem := _silent(address):
        raise InputError(f"nothing answers there: {problem}", where=where, valid=VALID)
    if not here:
        raise InputError("this machine is not a node of that cluster: no raylet runs here", where=where, valid=VALID)


def refused(address: str, problem: ConnectionError) -> InputError:
    """The error for a cluster that answers but refuses this process: it is another machine's, or has another token."""
    return InputError(f"no Ray cluster admits this process: {problem}", where=f"--address {address}", valid=f"{VALID}; {TOKEN}")


def _clusters() -> set[str]:
    """HOST:PORT of the clusters that this machine is a node of, found as Ray finds them: by the command lines of raylets.

    Ray reaches the host of one on loopback, which a sweep starts for itself, by this machine's address, where nothing answers.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *options = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if program.endswith("/raylet"):
            host, _, port = _option(options, "--gcs-address=").rpartition(":")
            found.add(f"{_reached(host)}:{port}")
    return found


def _reached(host: str) -> str:
    """Where Ray looks for a cluster's host."""
    if host not in LOOPBACK:
        return host
    import ray  # slow, and not wanted where an address is refused at once

    return str(ray.util.get_node_ip_address())


def _option(options: list[str], name: str) -> str:
    return next((option.removeprefix(name) for option in options if option.startswith(name)), "")


def _silent(address: str) -> str:
    """Why nothing answers at HOST:PORT; empty if something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError, ValueError) as problem:
        return str(problem)
    return ""
