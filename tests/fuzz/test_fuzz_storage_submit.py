"""Storages, addresses, options of a submission, links, long paths and missing permissions, all refused in one line."""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from hqc_ray import cli, files, locks
from hqc_ray.sweep.tune import place
from tests.fuzz.promise import refused
from tests.sweep.conftest import SMALL

SECRET = "hunter2hunter2"  # noqa: S105 - planted
STORAGES = [
    f"s3://KEY:{SECRET}@bucket/x", f"s3://KEY:{SECRET}/slash@bucket/x", f"s3://{SECRET}@bucket", f"s3://b/x?secret_key={SECRET}",
    f"https://b/x?X-Amz-Signature={SECRET}", f"gs://b#{SECRET}", "s3:/bucket/x", "s3://", "gs:///x", "file://host/x", "ftp://h/x",
    "s3://[bad/x", "", " ", "a\nb", "\x1b[31m", "x" * 5000, "s3://b/" + "x" * 5000, "http://host/x",
]  # fmt: skip
OPTIONS = [
    ("--storage", f"s3://KEY:{SECRET}@bucket/x"), ("--storage", "ftp://h/x"), ("--results", f"s3://KEY:{SECRET}@bucket/x"),
    ("--address", f"http://me:{SECRET}@127.0.0.1:1"), ("--address", "127.0.0.1:1"), ("--address", "http://127.0.0.1:1"),
    ("--address", "ray://127.0.0.1:1"), ("--env", f"AWS_SECRET_ACCESS_KEY={SECRET}"), ("--env", f"my_password={SECRET}"),
    ("--env", f"HTTPS_PROXY=http://me:{SECRET}@proxy:3128"), ("--env", f"COPY={SECRET}"), ("--env", "1X=2"), ("--env", "nothing"),
]  # fmt: skip


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)

    def write(text=SMALL):
        (tmp_path / "sweep.yaml").write_text(text)
        return tmp_path / "sweep.yaml"

    return write


@pytest.mark.parametrize("storage", STORAGES, ids=repr)
def test_storages(sweep_file, tmp_path, storage):
    import yaml

    said = refused(tmp_path, "plan", sweep_file(yaml.safe_dump({**yaml.safe_load(SMALL), "storage": storage})))
    assert "line 23: storage: " in said or "sweep.yaml, line 23: a text with" in said
    again = refused(tmp_path, "sweep", sweep_file(), "--serial", "--results", tmp_path / "r", "--storage", storage)
    third = refused(tmp_path, "submit", sweep_file(), "--storage", storage, "--address", "http://127.0.0.1:1")
    assert "--storage: " in again
    assert "--storage: " in third
    assert SECRET not in said + again + third


@pytest.mark.parametrize("option", OPTIONS, ids=repr)
def test_options_of_a_submission(sweep_file, tmp_path, option):
    said = refused(tmp_path, "submit", sweep_file(), *option)
    assert option[0] in said
    assert SECRET not in said


@pytest.mark.parametrize("command", ["plan", "submit"])
@pytest.mark.parametrize("url", [f"https://me:{SECRET}@host/x", f"s3://b/x?token={SECRET}", f"postgres://a:{SECRET}@h/db"])
def test_urls_with_secrets_anywhere_in_a_sweep_file(sweep_file, tmp_path, command, url):
    said = refused(tmp_path, command, sweep_file(SMALL.replace("source: synthetic", f"source: synthetic, path: '{url}'")))
    assert re.search(r"sweep\.yaml, line \d+: defaults\.data\.path: a URL with", said)
    assert SECRET not in said


def _huge(package):
    with (package / "big.bin").open("wb") as file:
        file.truncate(2**36)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda package: (package / "data").symlink_to("../.ssh"), "data cannot be shipped to the nodes: a link that"),
        (lambda package: (package / "id.txt").symlink_to("../.ssh/id_rsa"), "a link that leaves the package"),
        (lambda package: (package / "x.py").symlink_to("/etc/passwd"), "a link that leaves the package"),
        (lambda package: (package / "dangling").symlink_to("nowhere"), "no such file or directory"),
        (lambda package: (package / "loop").symlink_to("loop"), "a link that leads to itself"),
        (lambda package: (package / "round").symlink_to("."), "a link to a folder"),
        (lambda package: os.mkfifo(package / "pipe"), "neither a file nor a folder"),
        (_huge, "the sweep's own code is 65,536 MiB"),
    ],
)  # fmt: skip
def test_packages_that_cannot_be_shipped(sweep_file, tmp_path, monkeypatch, make, says):
    package = tmp_path / "fuzzpack"
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").write_text(SECRET)
    make(package)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("tests.fuzz.promise._files", lambda folder: sorted(map(str, Path(folder).rglob("*"))))
    said = refused(tmp_path, "submit", sweep_file(SMALL.replace("name: fgsm", "name: 'fuzzpack.a:A'")))
    assert says in said
    assert "fuzzpack" in said


@pytest.mark.parametrize("name", [".lock", "rows.jsonl"])
def test_links_in_a_results_folder(sweep_file, tmp_path, name):
    (tmp_path / "r" / "small").mkdir(parents=True)
    (tmp_path / "precious").write_text("precious, without a line's end")
    (tmp_path / "r" / "small" / name).symlink_to(tmp_path / "precious")
    (tmp_path / "r" / "small" / "sweep.yaml").write_text("name: small")
    (tmp_path / "cache").mkdir()
    (tmp_path / "r" / "small" / ".lock").touch()
    said = (
        refused(tmp_path, "sweep", sweep_file(), "--serial", "--results", tmp_path / "r")
        if name == ".lock"
        else _but_the_lock(tmp_path, sweep_file())
    )
    assert f"small/{name}: " in said
    assert said.endswith(": it is a link")


def _but_the_lock(folder, file):
    """The refusal, when it may write its own line into its lock."""
    locks.take(folder / "r" / "small" / ".lock").close()
    kept = (folder / "r" / "small" / ".lock").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks.os, "pwrite", lambda *_: None)
        said = refused(folder, "sweep", file, "--serial", "--results", folder / "r")
    assert (folder / "r" / "small" / ".lock").read_bytes() == kept
    return said


def test_a_held_lock_is_named_with_what_to_do(sweep_file, tmp_path):
    (tmp_path / "r" / "small").mkdir(parents=True)
    kept = locks.take(tmp_path / "r" / "small" / ".lock")
    said = refused(tmp_path, "sweep", sweep_file(), "--serial", "--results", tmp_path / "r")
    assert f"another driver is at work in this results folder: process {os.getpid()} on " in said
    assert " since 20" in said
    assert "(valid: wait for it, or end it there" in said
    fcntl.flock(kept, fcntl.LOCK_UN)
    kept.close()


@pytest.mark.parametrize("name", ["results", ".lock", "rows.jsonl", "sweep.yaml", "cache"])
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_another_user_may_not_touch_is_called_by_its_name(sweep_file, monkeypatch, name):
    folder = Path(tempfile.mkdtemp(prefix="hqc"))
    try:
        os.chmod(folder.parent, folder.parent.stat().st_mode | 0o001)
        small = folder / "r" / "small"
        small.mkdir(parents=True)
        (folder / "cache").mkdir()
        for file, text in ((".lock", ""), ("rows.jsonl", ""), ("sweep.yaml", "name: small")):
            (small / file).write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (folder / "sweep.yaml").write_text(SMALL)
        forbidden = {"results": small, "cache": folder / "cache"}.get(name, small / name)
        if name == "results":
            (small / ".lock").unlink()
        forbidden.chmod(0o555 if forbidden.is_dir() else 0)
        monkeypatch.setenv("HQC_CACHE", str(folder / "cache"))
        monkeypatch.setattr(locks.os, "pwrite", lambda *_: None)
        monkeypatch.setattr("tests.fuzz.promise.cli.main", _as_nobody(cli.main))
        said = refused(folder, "sweep", folder / "sweep.yaml", "--serial", "--results", folder / "r")
    finally:
        shutil.rmtree(folder)
    assert "Permission denied" in said
    assert str(forbidden) in said


def _as_nobody(main):
    def run(arguments):
        os.seteuid(65534)
        try:
            return main(arguments)
        finally:
            os.seteuid(0)

    return run


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_lock_that_cannot_be_made(sweep_file, tmp_path, monkeypatch, number):
    def open_regular(path, flags):
        raise OSError(number, os.strerror(number), str(path))

    (tmp_path / "r" / "small").mkdir(parents=True)
    monkeypatch.setattr(files, "open_regular", open_regular)
    said = refused(tmp_path, "sweep", sweep_file(), "--serial", "--results", tmp_path / "r")
    assert said.endswith(f"small/.lock: cannot write to the results folder: {os.strerror(number)}")


def test_a_folder_for_sockets_that_is_too_long_names_its_length(sweep_file, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 60}")  # noqa: S108
    said = refused(tmp_path, "sweep", sweep_file(), "--results", tmp_path / "r")
    assert ": 65 bytes are too many for the path of a Unix socket (valid: a folder of at most " in said
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", f"/tmp/{'x' * 60}")  # noqa: S108
    monkeypatch.setattr(place, "OTHERS", ("/proc",))
    said = refused(tmp_path, "sweep", sweep_file(), "--results", tmp_path / "r")
    assert "no folder for Ray's sockets: " in said
    assert " bytes are too many" in said
