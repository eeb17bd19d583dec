"""Certificates beside attacks: which rows have them, what they say, and what does not move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from hqc_ray import plan, spec
from hqc_ray.certify import certificate
from hqc_ray.errors import SpecError
from hqc_ray.evaluation.audit import flags
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.sweep import run
from hqc_ray.sweep.graph.resolve import Rooms

CERTIFIED = """
name: certified
defaults:
  data: {source: 'tests.sweep.cases:Dots', size: 60}
  train: {epochs: 4, learning_rate: 0.1}
  evaluate: {images: 8, batch_size: 4, certificate: true}
  attack:
    - {name: fgsm, epsilon: 0.05}
    - {name: pgd, level: angles, epsilon: [0.02, 0.3, 2.0], steps: 5}
    - {name: bottleneck, level: angles, epsilon: [0.02, 0.3], rounds: 1, directions: 16}
    - {name: pgd, level: features, norm: l2, epsilon: [0.1, 9.0], steps: 5}
    - {name: pgd, level: features, epsilon: 0.1, steps: 5}
  device:
    - {name: default.qubit}
    - {name: qiskit.aer, depolarizing_2q: 0.05}
    - {name: qiskit.aer, depolarizing_2q: 0.05, shots: 50}
blocks:
  - model: {backbone: 'tests.sweep.cases:tiny', weights: random, image_size: 8, head: [vqc1, tanh], n_qubits: 2}
"""


def swept(path):
    found = run.execute(path, path.parent / "results", serial=True, console=Console(quiet=True)).rows
    assert set(found["status"]) == {"ok"}, found["error"].iloc[0]
    return found


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("certified") / "certified.yaml"
    path.write_text(CERTIFIED)
    return swept(path)


def certifies(rows):
    return ((rows["level"] == "angles") & (rows["norm"] == "linf")) | ((rows["level"] == "features") & (rows["norm"] == "l2"))


def test_rows_whose_perturbations_are_certified_say_so(rows):
    asked = certifies(rows)
    assert asked.any()
    assert rows.loc[asked, "certified_accuracy"].notna().all()
    assert rows.loc[~asked, [name for name in rows if name.startswith("certified")]].isna().all(axis=None)


def test_no_attack_leaves_fewer_right_than_are_certified(rows):
    judged = rows[certifies(rows) & rows["shots"].isna()]
    assert (judged["certified_accuracy"] <= judged["robust_accuracy"]).all()
    assert (judged["certified_accuracy"] > 0).any()
    assert (judged["robust_accuracy"] < judged["clean_accuracy"]).any()
    for row in judged.to_dict("records"):
        certified, robust = (unpack(row[name], row["n_evaluated"]) for name in ("certified_correct", "robust_correct"))
        assert not (certified & ~robust).any()
        assert row["certified_accuracy"] == pytest.approx(certified.mean())
    assert not any("certificate_contradicted" in found for found in flags(rows).values())


def test_the_certified_share_falls_with_epsilon_and_is_one_for_all_attacks(rows):
    angles = rows[(rows["level"] == "angles")]
    for _, same in angles.groupby(["model_key", "device"]):
        ordered = same.sort_values("epsilon")
        assert (ordered["certified_accuracy"].diff().dropna() <= 0).all()
        assert same.groupby("epsilon")["certified_correct"].nunique().max() == 1
        assert same["certified_radius"].nunique(dropna=False) == 1
        # right images are certified, broken, or between the two
        assert ((same["certified_accuracy"] + same["certified_undecided"]) <= same["clean_accuracy"].max() + 1e-9).all()


def test_a_sampled_device_is_certified_as_its_exact_twin(rows):
    here = rows[(rows["level"] == "angles") & (rows["head"] == "vqc1") & (rows["device"] != "default.qubit")]
    parts = (here[here["shots"].isna()], here[here["shots"].notna()])
    exact, sampled = (part.set_index(["attack", "epsilon"])["certified_correct"] for part in parts)
    assert len(exact)
    assert sampled.reindex(exact.index).tolist() == exact.tolist()


def test_an_attack_within_a_certificate_is_flagged(rows):
    row = rows[certifies(rows) & rows["shots"].isna() & (rows["certified_accuracy"] > 0)].iloc[:1]
    n = int(row["n_evaluated"].iloc[0])
    broken = row.assign(robust_correct=np.packbits(np.zeros(n, dtype=bool)).tobytes().hex())
    key = row["key"].iloc[0]
    assert "certificate_contradicted" in flags(broken)[key]
    assert "certificate_contradicted" not in flags(broken.assign(shots=50))[key]  # shots may do that
    assert "certificate_contradicted" not in flags(row)[key]


def keys(text):
    found = plan.build(spec.parse(yaml.safe_load(text), "certified"), Rooms())
    return [(cell.search.attack.level, cell.search.id, cell.judge.id) for group in found.groups for cell in group.cells]


def test_keys_move_only_where_there_is_a_certificate():
    on, off = keys(CERTIFIED), keys(CERTIFIED.replace(", certificate: true", ""))
    assert off == keys(CERTIFIED.replace("certificate: true", "certificate: false"))
    moved = [a[0] for a, b in zip(on, off, strict=True) if a != b]
    assert set(moved) == {"angles", "features"}
    assert [a[:2] for a in on] == [b[:2] for b in off]  # the searches are the same
    assert any(a == b for a, b in zip(on, off, strict=True) if a[0] == "features")  # linf of features


def test_a_native_circuit_has_no_certificate():
    text = CERTIFIED.replace("certificate: true", "certificate: true, mode: native").replace(", shots: 50", "")
    with pytest.raises(SpecError, match="certificate is of the exact function"):
        keys(text)


def test_the_certificates_are_made_once_for_all_attacks(rows, tmp_path, monkeypatch):
    called = []
    real = certificate.certify
    monkeypatch.setattr("hqc_ray.sweep.work.searching.certify", lambda *a, **k: called.append(a[1]) or real(*a, **k))
    path = tmp_path / "once.yaml"
    path.write_text(CERTIFIED.replace("[vqc1, tanh]", "tanh"))
    swept(path)
    assert sorted(called) == ["angles", "features"]
