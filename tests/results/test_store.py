"""What the store keeps: artifacts in their places, damaged ones set aside, chunks of features, claims, provenance, a mirror."""

import json
import platform

import numpy as np
import pytest

from hqc_ray import surrogate
from hqc_ray.errors import ResultsError
from hqc_ray.results import lease
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.seal import sealed
from hqc_ray.results.store import Store
from hqc_ray.spec import SweepSpec
from tests.example_rows import row

ARRAYS = {"features": np.arange(12.0).reshape(3, 4), "hashes": np.array(["a", "b", "c"])}
CONTENT = surrogate.dumps(surrogate.Surrogate(2), {"depth": 3})


def spec(name="mine", **changes):
    return SweepSpec(name=name, blocks=({"seed": 1},), **changes)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens stores of sweeps by their names, and closes them at the end."""
    monkeypatch.delenv("HQC_CACHE", raising=False)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)
    stores = []

    def open_(name="mine", **options):
        stores.append(Store(tmp_path / "results" / name, spec(name), **options))
        return stores[-1]

    yield open_
    for store in stores:
        store._lock.close()
        if store.storage:
            store.storage.close()


def test_models_are_in_the_folder_and_the_rest_in_the_cache_that_sweeps_share(opened, tmp_path, monkeypatch):
    store, results = opened(), tmp_path / "results"
    assert store.artifact_path("model/abc") == results / "mine" / "models" / "abc.pt"
    assert store.artifact_path("surrogate/abc") == results / ".cache" / "surrogate" / "abc.pt"
    assert store.artifact_path("features/key/0") == results / ".cache" / "features" / "key" / "0.npz"
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "elsewhere"))
    assert opened("other").artifact_path("surrogate/abc") == tmp_path / "elsewhere" / "surrogate" / "abc.pt"


def test_a_sweep_that_is_refused_leaves_no_folder_behind(tmp_path, monkeypatch):
    monkeypatch.delenv("HQC_CACHE", raising=False)
    Store(tmp_path / "a" / "results" / "mine", spec()).close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("x")
    store = Store(tmp_path / "a" / "results" / "mine", spec())
    store.begin([])
    store.close()
    Store(tmp_path / "a" / "results" / "other", spec("other")).close()
    assert {p.name for p in (tmp_path / "a").rglob("*")} == {
        "kept",
        "results",
        "mine",
        ".lock",
        "sweep.yaml",
        "cells.json",
        ".cache",
    }


def test_artifacts_come_back_as_they_were_and_what_is_not_there_is_none(opened):
    store = opened()
    assert store.load("model/abc") is None
    for id in ("model/abc", "surrogate/abc"):
        store.save(id, CONTENT)
        assert store.load(id) == CONTENT
    store.save("features/key/0", ARRAYS)
    found = store.load("features/key/0")
    assert {name: values.tolist() for name, values in found.items()} == {n: v.tolist() for n, v in ARRAYS.items()}
    store.save_example("examples/one.npz", {"clean": np.ones((2, 3))})
    with np.load(store.folder / "examples" / "one.npz") as example:
        assert example["clean"].shape == (2, 3)


def test_another_sweep_gets_a_model_from_the_cache_and_keeps_a_copy(opened):
    opened("mine").save("model/abc", CONTENT)
    other = opened("other")
    assert other.load("model/abc") == CONTENT
    assert other.artifact_path("model/abc").read_bytes() == sealed(CONTENT, "model/abc")


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    """One bit of a number, which a reader without checksums would believe."""
    at = len(content) // 3
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda _: b"", lambda _: b"something else"])
@pytest.mark.parametrize("id", ["surrogate/abc", "features/key/0"])
def test_a_damaged_artifact_is_set_aside_and_may_be_made_again(opened, id, damage):
    store = opened()
    store.save(id, CONTENT if id.startswith("surrogate") else {**ARRAYS, "features": np.arange(3000.0).reshape(3, -1)})
    path = store.artifact_path(id)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    assert store.load(id) is None
    assert not path.exists()
    assert path.with_name(path.name + ".bad").read_bytes() == damaged
    store.save(id, CONTENT if id.startswith("surrogate") else ARRAYS)
    assert store.load(id) is not None


def test_a_damaged_model_is_restored_from_the_cache(opened):
    store = opened()
    store.save("model/abc", CONTENT)
    path = store.artifact_path("model/abc")
    path.write_bytes(flipped(CONTENT))
    assert store.load("model/abc") == CONTENT
    assert path.read_bytes() == sealed(CONTENT, "model/abc")
    assert path.with_name("abc.pt.bad").exists()


def test_chunks_of_features_are_listed_with_their_hashes_and_damaged_ones_set_aside(opened):
    store = opened()
    for number in (2, 0, 1, 3):
        store.save(f"features/key/{number}", {**ARRAYS, "hashes": np.array([f"{number}{x}" for x in "abc"])})
    store.save("features/other/0", ARRAYS)
    store.save("features/key/4", {"features": ARRAYS["features"]})  # without hashes
    path = store.artifact_path("features/key/1")
    path.write_bytes(truncated(path.read_bytes()))
    found = {id: hashes.tolist() for id, hashes in store.features("key")}
    assert found == {f"features/key/{n}": [f"{n}{x}" for x in "abc"] for n in (0, 2, 3)}
    assert list(found) == sorted(found)
    assert [path.name for path in sorted(path.parent.glob("*.bad"))] == ["1.npz.bad", "4.npz.bad"]
    assert list(store.features("unknown")) == []


def test_a_sweep_is_begun_with_its_file_and_its_cells_and_one_that_is_not_leaves_nothing(opened):
    store = opened()
    store.close()
    assert not store.folder.exists()
    store = opened()
    store.begin(["b", "a"])
    store.close()
    assert json.loads(store.at.cells.read_text()) == ["b", "a"]
    assert (store.folder / ".lock").exists()
    again = opened()
    assert again.spec == SweepSpec.model_validate({"name": "mine", "blocks": [{"seed": 1}]})


@pytest.mark.parametrize(
    ("content", "says"),
    [("name: other\n", "belongs to another sweep, 'other'"), ("[1, 2]\n", "sweep.yaml is damaged"), ("", "sweep.yaml is damaged"),
     ("title: mine\n", "sweep.yaml is damaged"), ("name: [\n", "sweep.yaml is damaged")],
)  # fmt: skip
def test_a_folder_of_another_sweep_or_of_a_damaged_file_is_refused(opened, tmp_path, content, says):
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(content)
    with pytest.raises(ResultsError, match=says) as caught:
        opened()
    assert "another --results" in str(caught.value)
    (folder / "sweep.yaml").write_text("name: mine\n")
    opened()  # the refusal gave the lock back


def test_rows_without_a_sweep_file_belong_to_a_stranger(opened, tmp_path):
    (tmp_path / "results" / "mine").mkdir(parents=True)
    Ledger(tmp_path / "results" / "mine" / "rows.jsonl").append([row("a")])
    with pytest.raises(ResultsError, match=r"has rows, but no sweep\.yaml"):
        opened()


def test_places_that_cannot_be_written_to_are_refused_by_name(opened, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ResultsError, match=r"file/cache: cannot write to the cache: .*HQC_CACHE=FOLDER"):
        opened()
    with pytest.raises(ResultsError, match="cannot write to the results folder: Not a directory"):
        Store(tmp_path / "file" / "mine", spec())


def test_provenance_grows_by_a_run_and_tells_no_paths_and_no_users(opened, tmp_path, monkeypatch):
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, "somebody")
    store = opened()
    assert len(store.save_provenance({"workers": 2})["runs"]) == 1
    second = store.save_provenance({"workers": 3, "finished": True})
    assert second == store.at.facts()
    assert [run["workers"] for run in second["runs"]] == [2, 3]
    run = second["runs"][1]
    assert run["python"] == platform.python_version()
    assert run["packages"]["numpy"] == np.__version__
    assert run["finished"] is True
    written = store.at.provenance.read_text()
    assert str(tmp_path) not in written
    assert platform.node() not in written
    assert "somebody" not in written


@pytest.mark.parametrize("content", ["{", "[]", '{"walks": []}'])
def test_damaged_provenance_is_set_aside_and_begun_anew(opened, content):
    store = opened()
    store.at.provenance.write_text(content)
    assert len(store.save_provenance({})["runs"]) == 1
    assert (store.folder / "provenance.json.bad").read_text() == content


def test_every_write_goes_to_the_mirror_and_what_is_lost_here_comes_back(opened, tmp_path):
    (tmp_path / "mount").mkdir()
    store = opened(storage=str(tmp_path / "mount"))
    store.begin(["a"])
    store.save("model/abc", CONTENT)
    store.save("surrogate/abc", CONTENT)
    store.ledger.append([row("a")])
    store.save_provenance({})
    there = tmp_path / "mount" / "mine"
    assert {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()} >= {
        "sweep.yaml", "cells.json", "provenance.json", "models/abc.pt", ".cache/surrogate/abc.pt", "lease.json",
    }  # fmt: skip
    (segment,) = (there / "rows").iterdir()
    assert segment.read_bytes() == store.at.ledger.read_bytes()
    for id in ("model/abc", "surrogate/abc"):
        store.artifact_path(id).unlink()
        assert store.load(id) == CONTENT
        assert store.artifact_path(id).exists()
    store.close()
    assert not (there / "lease.json").exists()


def test_the_mirror_is_not_the_folder_itself(opened, tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(ResultsError, match="the storage is the results folder itself"):
        opened(storage=str(tmp_path / "results"))
    assert not list((tmp_path / "results").rglob("lease.json"))
