"""Attacks that misbehave are one line of the plan, with their file and line; damaged artifacts never give a wrong row."""

from __future__ import annotations

import io
import random
import shutil
import zipfile

import numpy as np
import pytest
import torch
from rich.console import Console

from hqc_ray import cli, load_classifier
from hqc_ray.attacks import trial
from hqc_ray.errors import HqcError
from hqc_ray.results import seal
from hqc_ray.results.ledger import Ledger
from hqc_ray.sweep import run
from tests.fuzz.promise import refused
from tests.sweep.cases import changed

HEAD = "import torch\nfrom hqc_ray.attacks import PGD, Attack\nfrom hqc_ray.entries import Entry\n\n\n"
SWEEP = """
name: fuzz
defaults:
  data: {source: synthetic, size: 40, images: 60}
  model: {backbone: cnn1, image_size: 32}
  train: {epochs: 2}
  attack: ATTACK
blocks: [{}]
"""


def searching(*lines, more="", base="Attack"):
    """The class A whose search is these lines, in a loop over its epsilons."""
    body = "".join(f"            {line}\n" for line in lines)
    start = "    def search(self, view, values, labels, epsilons, generator):\n        for epsilon in epsilons:\n"
    return f"{HEAD}class A({base}):\n{more}{start}{body}"


def of_class(*lines, base="Attack"):
    """The class A of these lines, with the search of a good attack."""
    good = "    def search(self, view, values, labels, epsilons, generator):\n        yield from (values + e for e in epsilons)\n"
    return f"{HEAD}class A({base}):\n{''.join(f'    {line}' + chr(10) for line in lines)}{good}"


ATTACKS = {  # the module -> what the line says; those with a place name line 9, or another one
    "abstract": (f"{HEAD}class A(Attack):\n    pass\n", "does not define search"),
    "no attack": (f"{HEAD}class A(Entry):\n    pass\n", "not a subclass"),
    "a function": (f"{HEAD}def A():\n    pass\n", "not a subclass"),
    "a number": (f"{HEAD}A = 5\n", "not a subclass"),
    "not there": (f"{HEAD}B = 5\n", "AttributeError"),
    "syntax": (f"{HEAD}class A(:\n", "SyntaxError"),
    "exits": (f"{HEAD}raise SystemExit(0)\n", "SystemExit"),
    "raises at import": (f"{HEAD}raise RuntimeError('no\\ngood')\n", "RuntimeError: no good"),
    "validator raises": (of_class("def model_post_init(self, _):", "    raise RuntimeError('boom')"), "RuntimeError: boom"),
    "search raises": (searching("raise KeyError('k')"), "KeyError: 'k'"),
    "search exits": (searching("raise SystemExit(3)"), "SystemExit"),
    "raises later": (searching("yield values", "raise ValueError('two\\nlines')"), "ValueError: two lines"),
    "raises after the last": (searching("yield values") + "        raise ValueError('late')\n", "ValueError: late"),
    "other arguments": (
        f"{HEAD}class A(Attack):\n    def search(self, model, x):\n        yield x\n", "search: too many positional arguments"
    ),
    "wrong shape": (searching("yield values[:, :1]"), "the search yielded shape [4, 1, "),
    "one image": (searching("yield values[0]"), "the search yielded shape [3, "),
    "whole numbers": (searching("yield (255 * values).to(torch.uint8)"), "the search yielded torch.uint8"),
    "an array": (searching("yield values.numpy()"), "the search yielded no tensor but ndarray"),
    "a tuple": (searching("yield values, labels"), "the search yielded no tensor but tuple"),
    "none": (searching("yield None"), "the search yielded nothing"),
    "no data": (searching("yield values.to('meta')"), "a tensor without data"),
    "too few": (searching("yield values", "break"), "the search yielded nothing at epsilon 0.05"),
    "too many": (searching("yield values", "yield values"), "more candidates than epsilons"),
    "too many each": (searching("yield values", "yield values", more="    one_search = False\n"), "than epsilons, 1"),
    "returns a list": (searching("return [values]"), "the search returns list"),
    "returns a tensor": (searching("return values"), "the search returns Tensor"),
    "returns nothing": (searching("pass"), "the search returns NoneType"),
    "inference mode": (searching("with torch.inference_mode():", "    yield values"), "inside torch.inference_mode()"),
    "trains the model": (
        searching("next(view.module().parameters()).data.add_(1)", "yield values"), "changed the model it attacks"
    ),
    "gradient of nothing": (searching("yield torch.autograd.grad(values.sum(), values)[0]"), "RuntimeError"),
    "shapes for the view": (searching("view.gradient(values[:2], labels)", "yield values"), "RuntimeError"),
    "a kind of its own": (of_class("kind = 'mine'"), "kind is 'mine'"),
    "no norms": (of_class("norms = ()"), "A works in , "),
    "other norms": (of_class("norms = ('linf', 'l1')"), "norms is ('linf', 'l1')"),
    "no such norm": (of_class("norm = 'l3'"), "norm"),
    "no levels": (of_class("levels = ()"), "does not search at the level"),
    "infinite cost": (of_class("def per_search(self, n):", "    return float('inf')"), "cost is"),
    "cost in words": (of_class("def per_search(self, n):", "    return 'much'"), "cost"),
    "steps in words": (of_class("@property", "def gradient_steps(self):", "    return 'many'"), "gradient_steps is 'many'"),
    "classes in words": (of_class("@property", "def least_classes(self):", "    return 'many'"), "least_classes is 'many'"),
    "nested in words": (of_class("nested = 'yes'"), "nested is 'yes'"),
    "a black box in words": (of_class("black_box = 'yes'"), "black_box is 'yes'"),
    "a title of nothing": (of_class("title = None"), "title is None"),
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path, monkeypatch, request):
    """Writes a user's module, under a name of its own, and a sweep with its class A; the sweep's file."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(module, attack="{name: 'NAME:A', epsilon: 0.1}"):
        name = f"fuzzed_{abs(hash(request.node.name))}"
        (tmp_path / f"{name}.py").write_text(module)
        (tmp_path / "sweep.yaml").write_text(SWEEP.replace("ATTACK", attack).replace("NAME", name))
        return tmp_path / "sweep.yaml"

    return write


@pytest.mark.parametrize("name", ATTACKS)
def test_a_misbehaving_attack_is_one_line_of_the_plan(name, sweep, tmp_path):
    module, says = ATTACKS[name]
    line = refused(tmp_path, "plan", sweep(module))
    assert says in line
    assert ":A'" in line
    if name not in ("no attack", "a function", "a number", "not there", "no such norm", "no norms", "no levels"):
        assert f"{tmp_path.name}/fuzzed_" in line
        assert ".py, line " in line


@pytest.mark.parametrize("name", ["search raises", "wrong shape", "too many", "no norms"])
def test_a_misbehaving_member_of_an_ensemble_is_named(name, sweep, tmp_path):
    module, says = ATTACKS[name]
    line = refused(tmp_path, "plan", sweep(module, "{name: ensemble, epsilon: 0.1, members: {fgsm: {}, 'NAME:A': {}}}"))
    assert says in line
    assert ":A'" in line


@pytest.mark.parametrize("level", ["features", "angles"])
def test_it_is_tried_at_its_level(level, sweep, tmp_path):
    attack = f"{{name: 'NAME:A', epsilon: 0.1, level: {level}}}"
    file = sweep(searching("assert values.dim() == 4, 'only images'", "yield values"), attack)
    file.write_text(
        file.read_text().replace("cnn1, image_size: 32", "squeezenet1_0, weights: random, image_size: 32, head: tanh")
    )
    assert "AssertionError: only images" in refused(tmp_path, "plan", file)


GOOD = {
    "one step": searching("yield values + epsilon * view.gradient(values, labels).gradient.sign()"),
    "two classes": searching("assert labels.max() < 2 == view.logits(values).shape[1]", "yield values"),
    "of its size": searching("assert values.shape[1:] == (3, 96, 96), values.shape", "yield values"),
    "asleep": searching("__import__('time').sleep(100)", "yield values"),
    "endless": searching("while True:", "    view.logits(values)"),
    "not finite": searching("yield values / 0"),
    "not finite at times": searching("yield (values - 0.5).log()"),
    "in double precision": searching("yield values.double()"),
    "of another": f"{HEAD}class A(PGD):\n    steps: int = 3\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_to_the_contract_is_planned(name, sweep, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.5)
    assert cli.main(["plan", str(sweep(GOOD[name]))]) == cli.OK


# artifacts

ARTIFACTS = {"model": "**/models/*.pt", "surrogate": "cache/surrogate/*.pt", "features": "cache/features/*/*.npz"}
TEXT = changed(("head: tanh", "head: vqc1"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a sweep that is done, with its cache, and its rows by their keys."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        return folder, sweep_in(folder, patch)


def sweep_in(folder, patch):
    patch.setenv("HQC_CACHE", str(folder / "cache"))
    (folder / "cases.yaml").write_text(TEXT)
    run.execute(folder / "cases.yaml", folder / "results", serial=True, console=Console(quiet=True))
    rows = Ledger(folder / "results" / "cases" / "rows.jsonl").rows
    return {key: row.facts() for key, row in rows.items()}


def flipped(at):
    """One bit at this share of the file."""

    def damage(content):
        i = min(int(at * len(content)), len(content) - 1)
        return content[:i] + bytes([content[i] ^ 64]) + content[i + 1 :]

    return damage


def archive(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("a/b", "x")
    return buffer.getvalue()


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unsealed_flipped(content):
    """A file of an earlier version, with a bit flipped in the middle."""
    return flipped(0.5)(seal.opened(content)[0])


DAMAGES = {
    **{f"a bit at {at}": flipped(at) for at in (0.0, 0.01, 0.25, 0.5, 0.75, 0.97, 0.98, 0.99, 0.995, 1.0)},
    **{f"cut at {at}": lambda content, at=at: content[: int(at * len(content))] for at in (0.0, 0.1, 0.5, 0.9, 0.99, 0.999)},
    "another zip": archive,
    "a bit of an old file": unsealed_flipped,
    "another tensor": lambda _: saved({"state": torch.ones(3)}),
    "another archive": lambda _: seal.npz({"features": np.ones((2, 3))}),
    "of no length": lambda _: seal.npz({"features": np.float32(1), "hashes": np.array(["a"])}),
    "sealed for another": lambda content: seal.sealed(seal.opened(content)[0], "model/0123456789abcdef"),
    "something else": lambda _: b"PK\x03\x04 something else",
    "longer": lambda content: content + b"\0" * 100,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("kind", ARTIFACTS)
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_artifact_is_right_or_set_aside_and_never_a_wrong_row(kind, name, finished, tmp_path, monkeypatch):
    original, rows = finished
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results" / "cases" / "rows.jsonl").unlink()
    (tmp_path / "results" / "cases" / "sweep.yaml").unlink()
    if kind != "model":  # without a model, features are read, and with a new one surrogates are
        for path in [*tmp_path.glob(ARTIFACTS["model"]), *tmp_path.glob("cache/model/*")]:
            path.unlink()
    files = [*tmp_path.glob(ARTIFACTS[kind]), *(tmp_path.glob("cache/model/*.pt") if kind == "model" else ())]
    assert files
    for path in files:
        path.write_bytes(DAMAGES[name](path.read_bytes()))
    assert sweep_in(tmp_path, monkeypatch) == rows
    for path in files:  # right now, or (a model in the cache, which nothing needs) as it was
        if path.is_relative_to(tmp_path / "results"):
            seal.opened(path.read_bytes())
    assert sweep_in(tmp_path, monkeypatch) == rows  # and nothing is left to do


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_loaded_as_it_was_or_refused(name, finished, tmp_path):
    original, _ = finished
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob(ARTIFACTS["model"])
    before = load_classifier(tmp_path / "results" / "cases", path.stem).state_dict()
    path.write_bytes(DAMAGES[name](path.read_bytes()))
    try:
        after = load_classifier(tmp_path / "results" / "cases", path.stem).state_dict()
    except HqcError as problem:
        said = str(problem)
    else:
        said = ""
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert "\n" not in said
    assert not said or path.name in said


def test_every_bit_of_a_sealed_file_is_looked_at(finished):
    draw = random.Random(0)
    original, _ = finished
    (path,) = original.glob(ARTIFACTS["features"])
    content, name = path.read_bytes(), f"features/{path.parent.name}/{path.stem}"
    plain, told = seal.opened(content, name)
    assert told
    for _ in range(300):
        i = draw.randrange(8 * len(content))
        damaged = content[: i // 8] + bytes([content[i // 8] ^ (1 << i % 8)]) + content[i // 8 + 1 :]
        try:
            found = seal.arrays(seal.opened(damaged, name)[0])
        except seal.DamagedError:
            continue
        assert found["features"].tobytes() == seal.arrays(plain)["features"].tobytes()
        assert found["hashes"].tolist() == seal.arrays(plain)["hashes"].tolist()
