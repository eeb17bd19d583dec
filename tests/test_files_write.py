"""A file is there as a whole or not at all, whoever writes it, whatever fails, and however many write at once."""

import errno
import os
import threading

import pytest

from hqc_ray import files
from hqc_ray.errors import WriteError
from hqc_ray.files import write


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_bytes_are_written_into_a_folder_that_is_made(tmp_path):
    path = tmp_path / "deep" / "er" / "a.bin"
    assert write(path, b"\x00one") == path
    assert contents(path.parent) == {"a.bin": b"\x00one"}
    write(path, b"two")
    assert contents(path.parent) == {"a.bin": b"two"}


def test_a_function_writes_beside_the_file_and_nobody_sees_it_before_it_is_done(tmp_path):
    path, seen = tmp_path / "a.txt", []
    write(path, b"before")

    def fill(to):
        assert to.parent == tmp_path  # a rename is whole within one file system only
        assert to.name.startswith(".")  # listings pass it over
        to.write_bytes(b"half")
        seen.append(path.read_bytes())
        to.write_bytes(b"after")

    write(path, fill)
    assert seen == [b"before"]
    assert contents(tmp_path) == {"a.txt": b"after"}


class Full(OSError):
    """A disk that is full."""

    def __init__(self):
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("existing", [{}, {"a.txt": b"before"}], ids=["new", "old"])
@pytest.mark.parametrize(("raised", "caught"), [(Full, WriteError), (KeyError, KeyError), (KeyboardInterrupt, KeyboardInterrupt)])
def test_a_function_that_fails_half_way_leaves_the_file_as_it_was(tmp_path, existing, raised, caught):
    for name, content in existing.items():
        write(tmp_path / name, content)

    def fill(to):
        to.write_bytes(b"half")
        raise raised

    with pytest.raises(caught):
        write(tmp_path / "a.txt", fill)
    assert contents(tmp_path) == existing


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_later_leaves_the_file_as_it_was_and_is_named(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    write(path, b"before")

    def fail(*_):
        raise Full

    monkeypatch.setattr(*((files.os, "fsync") if step == "fsync" else (type(path), "replace")), fail)
    with pytest.raises(WriteError, match=r"a\.txt: cannot write: No space left on device$"):
        write(path, b"after")
    assert contents(tmp_path) == {"a.txt": b"before"}


def test_it_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, order = tmp_path / "a.txt", []
    sync, replace = os.fsync, type(path).replace
    monkeypatch.setattr(files.os, "fsync", lambda file: order.append("synced") or sync(file))
    monkeypatch.setattr(type(path), "replace", lambda *names: order.append("renamed") or replace(*names))
    write(path, b"one")
    assert order == ["synced", "renamed"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/a\.txt: cannot write: (Not a directory|File exists)"):
        write(tmp_path / "file" / "a.txt", b"")


def test_many_that_write_the_same_file_at_once_do_not_meet(tmp_path):
    """Threads of one process; drivers on two hosts may have the same process number, too."""
    path, names, problems = tmp_path / "a.bin", set(), []
    together = threading.Barrier(8)

    def work(number):
        def fill(to):
            names.add(to.name)
            to.write_bytes(bytes([number]) * 5000)
            together.wait(timeout=10)  # all of them are half done now

        try:
            write(path, fill)
        except BaseException as problem:  # it is what is asked about
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(names) == 8
    (content,) = contents(tmp_path).values()
    assert len(content) == 5000
    assert len(set(content)) == 1


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.txt").symlink_to("precious")
    write(tmp_path / "a.txt", b"new")
    assert contents(tmp_path) == {"a.txt": b"new", "precious": b"precious"}
    assert not (tmp_path / "a.txt").is_symlink()


def test_a_temporary_name_that_somebody_took_is_not_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "guessed")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".a.txt.guessed.tmp").symlink_to("precious")
    with pytest.raises(WriteError):
        write(tmp_path / "a.txt", b"new")
    assert (tmp_path / "precious").read_text() == "precious"
