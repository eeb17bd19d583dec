"""What of a user's own code a cluster's nodes lack, and what is never shipped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hqc_ray import spec, usercode
from hqc_ray.errors import SpecError
from tests.sweep.conftest import SMALL

ROOT = Path(__file__).parent.parent.parent
FILES = {
    "pack/__init__.py": "",
    "pack/circuits.py": "import numpy, json\nfrom beside import thing\nfrom . import inner\n",
    "pack/inner.py": "def late():\n    import far\n",
    "pack/__pycache__/inner.pyc": "stale",
    "pack/.env": "secret",
    "beside.py": "import pack, hqc_ray\n",
    "far.py": "broken here (",
    "single.py": "",
    "spaces/deep/one.py": "import torchvision\n",
    "unnamed.py": "",
}


@pytest.fixture
def code(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def sweep(**sections):
    return spec.parse({"defaults": {"data": {"size": 10, "source": "synthetic"}, **sections}}, "mine")


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        ({"model": {"backbone": "resnet18", "head": ["vqc1", "single:circuit"]}}, ["single.py"]),
        ({"data": {"source": "spaces.deep.one:Source", "path": "unnamed:x"}}, ["spaces"]),
        ({"attack": [{"name": "fgsm"}, {"name": "single:Attack"}]}, ["single.py"]),
        ({"device": {"name": ["default.qubit", "single:Device"]}}, ["single.py"]),
        ({"train": {"device": {"name": "single:Device"}}}, ["single.py"]),
        ({"model": {"backbone": "pack.circuits:net"}}, ["beside.py", "far.py", "pack"]),
        ({"model": {"backbone": "torchvision.models:resnet18", "head": "json:loads"}}, []),
        ({"model": {"backbone": "hqc_ray.models:x", "head": "nowhere:at_all"}}, []),
        ({}, []),
    ],
)
def test_what_is_named_and_what_that_imports_is_shipped_and_nothing_that_is_installed(code, sections, wanted):
    assert [path.relative_to(code).as_posix() for path in usercode.modules(sweep(**sections))] == wanted


def test_nothing_is_imported_to_find_out(code):
    (code / "loud.py").write_text("raise SystemExit('imported')")
    assert usercode.modules(sweep(attack={"name": "loud:Attack"})) == [code / "loud.py"]


def test_caches_and_hidden_files_stay(code):
    assert [path.name for path in usercode.files(code / "pack")] == ["__init__.py", "circuits.py", "inner.py"]
    assert usercode.size(code / "pack") == sum(len(FILES[f"pack/{n}.py"]) for n in ("__init__", "circuits", "inner"))


def test_data_beside_the_code_is_not_shipped_by_accident(code):
    with (code / "pack" / "images.h5").open("wb") as file:
        file.truncate(usercode.LIMIT_BYTES)
    with pytest.raises(SpecError, match=r"own code is 16 MiB; its largest file is pack/images.h5 \(valid: at most 16 MiB"):
        usercode.modules(sweep(attack={"name": "pack.circuits:Attack"}))


def keyed(name):
    usercode.with_code.cache_clear()
    return usercode.with_code(name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pack/circuits.py", "x = 1"), ("pack/inner.py", "import far, single"), ("beside.py", "x = 2"), ("far.py", "fixed = 1"),
        ("pack/table.csv", "1,2"), ("pack/deep/new.py", ""),
    ],
)  # fmt: skip
def test_a_key_moves_with_every_file_that_is_shipped(code, file, text):
    before = keyed("pack.circuits:net")
    assert keyed("pack.circuits:net") == before
    (code / file).parent.mkdir(exist_ok=True)
    (code / file).write_text(text)
    assert keyed("pack.circuits:net") != before
    (code / file).write_text(FILES.get(file, ""))
    if file in FILES:
        assert keyed("pack.circuits:net") == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("unnamed.py", "x = 1"), ("single.py", "x = 1"), ("pack/__pycache__/inner.pyc", "x"), ("pack/.env", "other"),
        ("pack/results/mine/rows.jsonl", "{}"), ("pack/results/mine/models/a.pt", "x"), ("pack/results/.cache/f/0.npz", "x"),
    ],
)  # fmt: skip
def test_a_key_stays_with_what_is_not_shipped_and_with_what_a_sweep_writes(code, file, text):
    (code / "pack/results/mine").mkdir(parents=True)
    (code / "pack/results/mine/rows.jsonl").touch()
    before = keyed("pack.circuits:net")
    (code / file).parent.mkdir(parents=True, exist_ok=True)
    (code / file).write_text(text)
    assert keyed("pack.circuits:net") == before


def test_a_key_holds_no_place_and_a_package_too_large_to_be_shipped_counts_by_its_code(code, tmp_path_factory, monkeypatch):
    before = keyed("pack.circuits:net")
    moved = tmp_path_factory.mktemp("elsewhere") / "code"
    shutil.copytree(code, moved)
    monkeypatch.setattr(sys, "path", [str(moved), *(p for p in sys.path if p != str(code))])
    assert keyed("pack.circuits:net") == before
    for size in (usercode.LIMIT_BYTES, usercode.LIMIT_BYTES + 1):
        with (moved / "pack" / "images.h5").open("wb") as file:
            file.truncate(size)
        large = keyed("pack.circuits:net")
        assert large == before  # the code is the same
    (moved / "pack" / "inner.py").write_text("edited = True")
    assert keyed("pack.circuits:net") != large


def test_code_that_cannot_be_read_is_one_line(code, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(SpecError, match=r"single:thing: code that cannot be read: Permission denied"):
        keyed("single:thing")


def test_workers_of_this_machine_find_what_the_driver_found(tmp_path):
    (tmp_path / "near.py").write_text("from hqc_ray.attacks import FGSM\n\n\nclass Near(FGSM):\n    pass\n")
    (tmp_path / "near.yaml").write_text(SMALL.replace("name: fgsm", "name: 'near:Near'"))
    finished = subprocess.run(
        [sys.executable, "-m", "hqc_ray.cli", "sweep", "near.yaml", "--workers", "1"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}."}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr


def test_a_module_beside_the_sweep_file_is_found_here_and_in_processes_that_are_started(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(usercode.BESIDE, "")  # given back in the end
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"beside_{folder}.py").write_text(f"FOLDER = {folder!r}\n")
    (tmp_path / "one" / "json.py").write_text("raise RuntimeError\n")  # searched last, so that it hides nothing
    asked = "import json, hqc_ray.plan, beside_one; print(beside_one.FOLDER)"
    usercode.findable(tmp_path / "one")
    assert [path.name for path in usercode.modules(sweep(model={"head": "beside_one:f"}))] == ["beside_one.py"]
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "one\n"
    usercode.findable(tmp_path / "two")  # another sweep: what lies beside the first is not found any more
    assert usercode.modules(sweep(model={"head": "beside_one:f"})) == []
    assert sys.path[-1] == os.environ[usercode.BESIDE] == str(tmp_path / "two")
    usercode.findable(ROOT)  # is there already
    assert str(tmp_path / "two") not in sys.path
    assert usercode.BESIDE not in os.environ
