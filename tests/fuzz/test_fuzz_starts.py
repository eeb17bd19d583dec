"""Bad input about what an attack takes over from other models: one line, before anything is computed."""

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: starts
defaults:
  data: {{source: synthetic, size: 40, images: 80, size_pixels: 32}}
  evaluate: {evaluate}
  attack: {attack}
  device: {{name: qiskit.aer, noise: fake_manila}}
blocks:
  - model: {{backbone: resnet18, weights: random, image_size: 32, head: {head}}}
"""
AUTO = "{name: autoattack, epsilon: 0.1, members: "
CASES = {
    "a typing error": (AUTO + "{contol: {}}}", "vqc1", "unknown attack 'contol'; did you mean 'control'"),
    "a member as an attack": ("{name: control, epsilon: 0.1}", "vqc1", "unknown attack 'control'"),
    "as a key of the attack": ("{name: autoattack, epsilon: 0.1, start: control}", "vqc1", "unknown option 'start'"),
    "an option of another member": (AUTO + "{ideal: {restarts: 2}, pgd: {}}}", "vqc1", "members.ideal"),
    "no steps": (AUTO + "{control: {steps: 0}}}", "vqc1", "members.control"),
    "fewer than no steps": (AUTO + "{ideal: {steps: -1}, pgd: {}}}", "vqc1", "members.ideal"),
    "in a list": (AUTO + "{control: [1]}}", "vqc1", "members.control: options are a mapping"),
    "another norm": (AUTO + "{control: {norm: l2}}}", "vqc1", "the norm of control"),
    "nothing but the twin": (AUTO + "{ideal: {}}}", "vqc1", "takes over what the other members find"),
    "not nested": ("{name: ensemble, epsilon: 0.1, members: {ideal: {}, pgd: {}}}", "vqc1", "a member of autoattack alone"),
    "a classical head alone": (AUTO + "{control: {}}}", "linear", "takes over what fools a circuit's control"),
    "an ensemble of one": ("{name: ensemble, epsilon: 0.1, members: {control: {}, pgd: {}}}", "tanh", "'tanh' is no circuit"),
    "at angles": ("{name: autoattack, level: angles, epsilon: 0.1, members: {control: {}, pgd: {}}}", "vqc1", "level: pixels or"),
    "an ensemble at angles": (
        "{name: ensemble, level: angles, epsilon: 0.1, members: {control: {}}}",
        "vqc1",
        "pixels, features",
    ),
}


def swept(folder, attack, head="vqc1", evaluate="{images: 4}"):
    file = folder / "starts.yaml"
    file.write_text(SWEEP.format(attack=attack, head=head, evaluate=evaluate))
    return file


@pytest.mark.parametrize(("attack", "head", "said"), CASES.values(), ids=CASES)
def test_what_cannot_be_borrowed_is_one_line(tmp_path, attack, head, said):
    assert said in refused(tmp_path, "plan", swept(tmp_path, attack, head))


def test_the_twin_as_start_of_its_own_search_is_one_line(tmp_path):
    file = swept(tmp_path, AUTO + "{ideal: {}, pgd: {}}}", evaluate="{images: 4, access: ideal}")
    assert "nothing to begin with" in refused(tmp_path, "plan", file)
