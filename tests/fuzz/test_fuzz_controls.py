"""`controls` of a sweep file: anything but true or false is refused in one line, before anything is computed."""

import pytest
import yaml

from tests.fuzz.promise import refused

SWEEP = {
    "name": "paired",
    "defaults": {
        "data": {"source": "synthetic", "size": 40, "images": 60},
        "model": {"backbone": "cnn1", "image_size": 32, "head": "vqc1", "n_qubits": 3},
        "train": {"epochs": 1},
        "evaluate": {"images": 10},
        "attack": [{"name": "fgsm", "epsilon": 0.1}],
        "controls": True,
    },
    "blocks": [{}],
}
CASES = {
    "a number": ({"controls": 1}, "defaults", "blocks[0].controls: not true or false"),
    "a word": ({"controls": "tanh"}, "blocks", "blocks[0].controls: not true or false"),
    "a list is no axis": ({"controls": [True, False]}, "defaults", "blocks[0].controls: not true or false"),
    "a mapping": ({"controls": {"tanh": True}}, "blocks", "blocks[0].controls: not true or false"),
    "nothing": ({"controls": None}, "defaults", "blocks[0].controls: not true or false"),
    "a long text": ({"controls": "y" * 900}, "blocks", "blocks[0].controls: not true or false"),
    "in a section": ({"evaluate": {"controls": True}}, "defaults", "controls"),
    "misspelt": ({"control": True}, "defaults", "controls"),
    "a judge that no control is": ({"evaluate": {"judges": {"heads": ["linear"]}}}, "defaults", "'linear' is not in this sweep"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_controls_are_refused(tmp_path, case):
    change, where, said = CASES[case]
    sweep = {**SWEEP, "defaults": {**SWEEP["defaults"]}, "blocks": [{}]}
    (sweep["defaults"] if where == "defaults" else sweep["blocks"][0]).update(change)
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(sweep))
    assert said in refused(tmp_path, "plan", tmp_path / "t.yaml")


def test_a_key_beside_the_blocks_is_refused(tmp_path):
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({**SWEEP, "controls": True}))
    assert "controls" in refused(tmp_path, "plan", tmp_path / "t.yaml")
