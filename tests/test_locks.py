"""A lock says who holds it, follows no link, empties nothing, and ends with its process."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

from hqc_ray import locks
from hqc_ray.locks import Held, NoLocks, owner, take


def holder():
    return f"process {os.getpid()} on {platform.node()} since "


def test_a_held_lock_says_who_holds_it_and_closing_it_frees_it(tmp_path):
    first = take(tmp_path / "lock")
    with pytest.raises(Held) as refused:
        take(tmp_path / "lock")
    assert str(refused.value).startswith(holder())
    first.close()
    take(tmp_path / "lock").close()


def test_it_ends_with_its_process_and_the_next_one_is_named(tmp_path):
    code = f"from pathlib import Path; from hqc_ray.locks import take; kept = take(Path({str(tmp_path / 'lock')!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads((tmp_path / "lock").read_text())["pid"] != os.getpid()
    kept = take(tmp_path / "lock")
    assert owner((tmp_path / "lock").read_bytes()).startswith(holder())
    assert len((tmp_path / "lock").read_bytes()) == locks.SIZE
    kept.close()


def test_an_empty_lock_of_an_earlier_version_is_taken(tmp_path):
    (tmp_path / "lock").touch()
    take(tmp_path / "lock").close()
    assert owner(b"") == owner(b"\xff{") == owner(b"[" * 100_000) == "process ? on ?"


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["link", "hard link"])
def test_a_link_in_its_place_is_refused_and_what_it_leads_to_stays(tmp_path, make):
    (tmp_path / "file").write_text("precious")
    make(tmp_path / "file", tmp_path / "lock")
    with pytest.raises(OSError, match=r"it is a link|it is not a lock, but holds something"):
        take(tmp_path / "lock")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_link_to_nowhere_makes_no_file(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "new")
    with pytest.raises(OSError, match="it is a link"):
        take(tmp_path / "lock")
    assert not (tmp_path / "new").exists()


def test_a_pipe_or_a_folder_in_its_place_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        take(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        take(tmp_path)


def test_a_file_system_without_locks_is_told_from_a_held_lock(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(NoLocks):
        take(tmp_path / "lock")


def test_a_full_disk_locks_nevertheless(tmp_path, monkeypatch):
    def pwrite(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.os, "pwrite", pwrite)
    kept = take(tmp_path / "lock")
    with pytest.raises(Held, match=r"process \? on \?"):
        take(tmp_path / "lock")
    kept.close()
