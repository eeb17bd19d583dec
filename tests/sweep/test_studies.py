"""The studies that come with the package: each is a plan that can be run, with controls beside its attacks."""

import os

import pytest

from hqc_ray.commands import shipped
from hqc_ray.quantum.devices.ibm import service
from hqc_ray.sweep import run

NOISY = ("noise", "noise_as_defence", "mitigation", "machines", "drift", "errors")


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """What the files ask for: patches, weights, and a machine's calibration of three days."""
    for name in ("HQC_DATA", "HQC_WEIGHTS"):
        if not os.environ.get(name):
            pytest.skip(f"{name} is not set")
    snapshot = service.calibration("fake_manila")
    for day in (1, 2, 3):
        days = snapshot.model_copy(update={"date": snapshot.date.replace(day=day)})
        (tmp_path / f"day{day}.json").write_text(days.text)
    monkeypatch.setenv("HQC_SNAPSHOTS", str(tmp_path))


@pytest.mark.parametrize("name", NOISY)
def test_a_study_of_noise_can_be_run(surroundings, name):
    _, plan = run.prepare(shipped.sweep_file(name))
    searches = [group.search for group in plan.groups]
    assert {search.attack.name for search in searches} >= {"clean", "noise", "pgd"}
    devices = {str(search.device) for search in searches}
    assert sum("default.qubit" in device for device in devices) == 1
    assert sum("qiskit.aer" in device for device in devices) >= 4
    assert len(searches) > 20


def numbers(device):
    """The noise of a device by numbers, as one string; empty: ideal."""
    options = device.options if device else {}
    return str({key: options[key] for key in sorted(options) if key.endswith(("1q", "2q", "_damping")) and options[key]})


def test_circuits_trained_with_noise_run_with_the_same(surroundings):
    _, plan = run.prepare(shipped.sweep_file("noise_as_defence"))
    searches = [group.search for group in plan.groups if group.search.device]
    pairs = {(numbers(search.training.train.device), numbers(search.device)) for search in searches}
    there = {"{'depolarizing_1q': 0.02, 'depolarizing_2q': 0.02}", "{'phase_damping': 0.05}", "{'phase_damping': 0.3}"}
    there.add("{'depolarizing_1q': 0.1, 'depolarizing_2q': 0.1}")
    assert pairs == {("{}", "{}")} | {(trained, ran) for ran in there for trained in ("{}", ran)}
