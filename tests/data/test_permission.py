"""A file or folder that may not be opened is never called damaged, and nobody is told to delete it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import pytest

from hqc_ray import data
from hqc_ray.data import checked
from hqc_ray.data.sources.pcam import file_name
from hqc_ray.errors import DataError

FILES = {"pcam": file_name("train", "x"), "npz": "tiny.npz", "idx": "train-labels-idx1-ubyte", "csv": "train_labels.csv"}


@pytest.fixture
def forbidden(monkeypatch):
    """Forbids to open what has a name, as the system would; tests may run as root, for whom nothing is forbidden."""

    def forbid(name):
        opened, scanned = Path.open, os.scandir

        def denied(path):
            if Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "open", lambda self, *a, **k: denied(self) or opened(self, *a, **k))
        monkeypatch.setattr(os, "scandir", lambda path=".": denied(path) or scanned(path))
        monkeypatch.setattr(os, "listdir", lambda path=".", listed=os.listdir: denied(path) or listed(path))

    return forbid


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_opened(tmp_path, forbidden, name):
    source = data.SOURCES[name].example(tmp_path)
    forbidden(FILES[name])
    with pytest.raises(DataError, match=r"[Pp]ermission") as caught:
        checked.check(source)
    assert FILES[name] in str(caught.value)
    assert not any(word in str(caught.value) for word in ("truncated", "delete", "damaged", "fetch it again"))


def test_a_class_folder_that_may_not_be_opened(tmp_path, forbidden):
    source = data.SOURCES["folder"].example(tmp_path)
    forbidden("class 9")
    with pytest.raises(DataError, match="class 9: no permission to read it"):
        checked.check(source)


def test_a_file_that_another_program_has_locked(tmp_path, monkeypatch):
    source = data.SOURCES["pcam"].example(tmp_path)

    def locked(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "unable to lock file")

    monkeypatch.setattr(h5py, "File", locked)
    with pytest.raises(DataError, match=r"\.h5: locked by another program.*valid: the program that writes it to end"):
        checked.check(source)
