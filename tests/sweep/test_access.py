"""How the circuit runs, and what the attacker may see of it: natively, by shots, or only the ideal twin."""

import json

import pytest
from rich.console import Console

from hqc_ray import circuits, cli, devices
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.sweep import run

SWEEP = """
name: access
defaults:
  data: {source: synthetic, size: 100, images: 120}
  train: {epochs: 10, learning_rate: 0.01}
  attack: [{name: fgsm, epsilon: 0.05}, {name: pgd, epsilon: 0.02, steps: 2}]
  device: {name: qiskit.aer, noise: fake_manila}
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 64, head: vqc1, n_qubits: 3}
    evaluate: EVALUATE
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Runs the sweep with an `evaluate` section (and other text changed), all in one folder: the model is trained once."""
    folder = tmp_path_factory.mktemp("access")

    def execute(evaluate, **changes):
        text = SWEEP.replace("EVALUATE", evaluate)
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / "sweep.yaml").write_text(text)
        found = run.execute(folder / "sweep.yaml", folder / "results", serial=True, console=Console(quiet=True)).rows
        assert set(found["status"]) == {"ok"}, found["error"].iloc[0]
        return found

    return execute


def test_the_native_route_gives_the_decisions_of_the_surrogate(sweep):
    surrogate = sweep("{images: 20, batch_size: 10}")
    native = sweep("{images: 20, batch_size: 10, mode: native}")
    assert native["device"].tolist() == ["qiskit.aer[fake_manila] (native)"] * 2
    assert surrogate["robust_correct"].tolist() == native["robust_correct"].tolist()
    assert surrogate["clean_correct"].tolist() == native["clean_correct"].tolist()
    assert surrogate["robust_accuracy"].min() < surrogate["clean_accuracy"].max()
    assert surrogate["mean_l2"].to_numpy() == pytest.approx(native["mean_l2"].to_numpy(), rel=1e-3)


def test_a_row_says_what_became_of_the_circuit_on_the_machine(sweep):
    facts = devices.get("qiskit.aer", noise="fake_manila").facts(circuits.get("vqc1", 3))
    assert facts.layout != (0, 1, 2)  # a wire is not the qubit of its number
    for evaluate in ("{images: 20, batch_size: 10}", "{images: 20, batch_size: 10, mode: native}"):
        for row in sweep(evaluate).to_dict("records"):
            assert (row["depth"], row["two_qubit_gates"]) == (facts.depth, facts.two_qubit_gates)
            assert tuple(json.loads(row["layout"])) == facts.layout
    written = devices.get("default.qubit").facts(circuits.get("vqc1", 3))
    row = sweep("{images: 20, batch_size: 10}", **{"qiskit.aer, noise: fake_manila": "default.qubit"}).iloc[0]
    assert (row["depth"], row["two_qubit_gates"], row["layout"]) == (written.depth, written.two_qubit_gates, None)


def test_what_the_attacker_may_see_changes_the_attack_and_not_the_judge(sweep):
    rows = {access: sweep(f"{{images: 20, batch_size: 10, access: {access}}}") for access in ("exact", "ideal")}
    assert rows["ideal"]["attack_label"].tolist() == rows["exact"]["attack_label"].tolist() == ["fgsm", "pgd"]
    assert set(rows["ideal"]["search_device"]) == {"ideal"}
    assert set(rows["exact"]["search_device"]) == {"qiskit.aer[fake_manila]"}
    assert (set(rows["exact"]["audience"]), set(rows["ideal"]["audience"])) == ({"itself"}, {"others"})
    assert rows["ideal"]["clean_correct"].tolist() == rows["exact"]["clean_correct"].tolist()
    assert rows["ideal"]["mean_l2"].tolist() != rows["exact"]["mean_l2"].tolist()


@pytest.mark.parametrize("access", ["exact", "shots"])
def test_a_sampled_device_is_judged_on_fresh_samples(sweep, access):
    rows = sweep(f"{{images: 20, batch_size: 10, access: {access}, repeats: 3}}", fake_manila="fake_manila, shots: 8")
    exact = sweep("{images: 20, batch_size: 10}")
    for row, plain in zip(rows.to_dict("records"), exact.to_dict("records"), strict=True):
        assert row["repeats"] == 3
        assert 0 < row["shot_flip_share"] < 0.5  # eight shots are few
        assert row["clean_accuracy"] * 60 == pytest.approx(round(row["clean_accuracy"] * 60))
        assert row["robust_accuracy"] <= row["clean_accuracy"]
        assert row["clean_low"] < row["clean_accuracy"] < row["clean_high"]
        assert 0.02 < row["clean_shot_high"] - row["clean_shot_low"] < 0.5
        assert row["clean_shot_low"] < row["clean_accuracy"] < row["clean_shot_high"]
        assert row["robust_shot_low"] <= row["robust_accuracy"] <= row["robust_shot_high"]
        assert len(unpack(row["robust_correct"], 20)) == 20
        assert json.loads(row["attack_options"]) == json.loads(plain["attack_options"])
    again = sweep(f"{{images: 20, batch_size: 10, access: {access}, repeats: 3}}", fake_manila="fake_manila, shots: 8")
    assert again["robust_correct"].tolist() == rows["robust_correct"].tolist()
    many = sweep("{images: 20, batch_size: 10}", fake_manila="fake_manila, shots: 100000")
    wide, narrow = ((r["clean_shot_high"] - r["clean_shot_low"]).max() for r in (rows, many))
    assert narrow < wide / 2
    assert exact["clean_shot_low"].isna().all()
    assert many["shot_flip_share"].max() < rows["shot_flip_share"].min()


BAD = {
    "{access: shots}": "access: shots on a device without shots",
    "{mode: native, access: ideal}": "mode: native needs an exact device",
    "{acess: ideal}": "unknown option 'acess'",
}


@pytest.mark.parametrize("evaluate", BAD)
def test_what_means_nothing_is_refused(tmp_path, capsys, evaluate):
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("EVALUATE", evaluate))
    assert cli.main(["plan", str(tmp_path / "sweep.yaml")]) == cli.BAD_INPUT
    assert BAD[evaluate] in capsys.readouterr().err


def test_shots_are_no_attack_and_other_seeds_are_other_shots(sweep):
    attack = {
        "[{name: fgsm, epsilon: 0.05}, {name: pgd, epsilon: 0.02, steps: 2}]": "[{name: clean}, {name: fgsm, epsilon: [0, 0.05]}]"
    }
    rows = sweep("{images: 20, batch_size: 10, repeats: 2}", fake_manila="fake_manila, shots: 8, seed: [0, 1]", **attack)
    still = rows[rows["epsilon"] == 0]
    assert still["robust_correct"].tolist() == still["clean_correct"].tolist()
    assert still["robust_accuracy"].tolist() == still["clean_accuracy"].tolist()
    assert still["device"].unique().tolist() == ["qiskit.aer[fake_manila,shots=8]", "qiskit.aer[fake_manila,shots=8,seed=1]"]
    assert still.groupby("device")["clean_accuracy"].first().nunique() + still["clean_correct"].nunique() > 2
