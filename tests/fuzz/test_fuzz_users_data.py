"""Users' sources and backbones that are wrong: refused by the plan, in one line with their file and line."""

from __future__ import annotations

import pytest

from tests.fuzz.promise import refused

SOURCE = """
import numpy as np
from hqc_ray.data import Source
R = np.random.default_rng(0)
Y = (np.arange(80) % 2).astype(np.uint8)
X = R.integers(0, 255, (80, 16, 16, 3), dtype=np.uint8)

class Mine(Source):
    token: str = ""
    def labels(self): return Y
    def read(self, indices): return X[list(indices)]
    def check(self): pass
"""
SOURCES = {  # what stands in place of a method
    "labels, a column": "def labels(self): return Y[:, None]",
    "labels, floats": "def labels(self): return Y / 1.0",
    "labels, signs": "def labels(self): return 2 * Y.astype(int) - 1",
    "labels, texts": "def labels(self): return np.array(['a', 'b'] * 40)",
    "labels, texts in a list": "def labels(self): return ['a', 'b'] * 40",
    "labels, mixed": "def labels(self): return [1, 'a', None]",
    "labels, ragged": "def labels(self): return [[1], [1, 2]]",
    "labels, NaN": "def labels(self): return np.where(Y, np.nan, 0)",
    "labels, None": "def labels(self): return None",
    "labels, a number": "def labels(self): return 3",
    "labels, a dict": "def labels(self): return {0: 1}",
    "labels, a generator": "def labels(self): return (y for y in Y)",
    "labels, 10^12": "def labels(self): return np.arange(10**12) % 2",
    "labels, a view of 10^12": "def labels(self): return np.broadcast_to(np.uint8(0), 10**12)",
    "labels, an endless length": "def labels(self): return range(10**18)",
    "labels, none": "def labels(self): return np.zeros(0, int)",
    "labels, huge": "def labels(self): return np.where(Y, 10**12, 0)",
    "labels, random": "def labels(self): return R.integers(0, 2, 80)",
    "labels, recursive": "def labels(self): return self.labels()",
    "labels, exits": "def labels(self): raise SystemExit(0)",
    "labels, two lines": "def labels(self): raise ValueError('a\\nb')",
    "classes, numbers": "classes = property(lambda self: (0, 1))",
    "classes, a text": "classes = property(lambda self: 'ab')",
    "classes, twice": "classes = property(lambda self: ('a', 'a'))",
    "classes, None": "classes = property(lambda self: None)",
    "size, None": "image_size = property(lambda self: None)",
    "size, wrong": "image_size = property(lambda self: (16, 17))",
    "size, enormous": "image_size = property(lambda self: (10**9, 10**9))",
    "size, not a number": "image_size = property(lambda self: ('a', 'b'))",
    "images, grey": "def read(self, indices): return X[list(indices)][..., 0]",
    "images, channels first": "def read(self, indices): return X[list(indices)].transpose(0, 3, 1, 2)",
    "images, floats": "def read(self, indices): return X[list(indices)] / 255",
    "images, int64": "def read(self, indices): return X[list(indices)].astype(int)",
    "images, a list": "def read(self, indices): return [X[i] for i in indices]",
    "images, ragged": "def read(self, indices): return [X[i, : 9 + i % 3] for i in indices]",
    "images, of other sizes": "def read(self, indices): return X[list(indices), : 9 + len(indices)]",
    "images, a tuple": "def read(self, indices): return X[list(indices)], Y[list(indices)]",
    "images, a dict": "def read(self, indices): return {'image': X[list(indices)]}",
    "images, None": "def read(self, indices): pass",
    "images, too few": "def read(self, indices): return X[list(indices)][:-1]",
    "images, all": "def read(self, indices): return X",
    "images, sorted": "def read(self, indices): return X[sorted(indices)]",
    "images, the first ones": "def read(self, indices): return X[: len(indices)]",
    "images, augmented": "def read(self, indices): return X[list(indices)] ^ R.integers(0, 2, (16, 16, 3), dtype=np.uint8)",
    "images, no file": "def read(self, indices): return np.load('/nowhere/x.npy')",
    "check, raises": "def check(self): raise KeyError(self.token)",
    "check, deletes itself": "def check(self): del self.token",
    "made, raises": "def model_post_init(self, context): raise OSError(self.token)",
    "dumped, raises": "def model_dump(self, **k): raise OSError(self.token)",
}
SWEEP = """
name: fuzz
defaults:
  data: {source: 'fuzzed_source:Mine', size: 40, token: '${FUZZ_TOKEN}'}
  model: {backbone: cnn1, head: linear}
  attack: {name: fgsm, epsilon: 0.1}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a user's module, which is imported anew."""
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    return write


@pytest.mark.parametrize("case", SOURCES)
def test_a_source_that_is_wrong(tmp_path, module, monkeypatch, case):
    monkeypatch.setenv("FUZZ_TOKEN", "s3cr3t-0123456789")
    module("fuzzed_source", f"{SOURCE}    {SOURCES[case]}\n")
    (tmp_path / "s.yaml").write_text(SWEEP)
    said = refused(tmp_path, "plan", tmp_path / "s.yaml")
    assert "fuzzed_source:Mine" in said
    assert "fuzzed_source.py, line " in said
    assert "s3cr" not in said


BACKBONES = {
    "no module": "def net(): return 3",
    "none": "def net(): pass",
    "raises": "def net(): raise OSError('no\\ncheckpoint')",
    "exits": "def net(): raise SystemExit(0)",
    "arguments": "def net(pretrained): return nn.Identity()",
    "not pooled": "def net(): return nn.Conv2d(3, 4, 3)",
    "too deep": "def net(): return nn.Conv2d(3, 4, 99)",
    "no seed": """
def net():
    layer = nn.Linear(768, 4)
    layer.weight.data = torch.randn(4, 768, generator=torch.Generator().manual_seed(id(layer)))
    return nn.Sequential(nn.Flatten(), layer)""",
    "lazy": "def net(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.Identity(), nn.Unflatten(1, (2, 2)))",
}
FORWARDS = {
    "tuple": "x.mean((2, 3)), x",
    "dict": "{'features': x.mean((2, 3))}",
    "None": "None",
    "numpy": "x.mean((2, 3)).numpy()",
    "NaN": "x.mean((2, 3)) * float('nan')",
    "half": "x.mean((2, 3)).half()",
    "constant": "torch.ones(len(x), 5)",
    "one feature map": "x",
    "dropout": "nn.functional.dropout(x.flatten(1), 0.5, True)",
    "raises": "x.nowhere",
    "of the batch": "x.mean((0, 2, 3)).repeat(len(x), 1)",
    "width of the batch": "x.mean((2, 3)).repeat(1, len(x))",
    "no features": "x.flatten(1)[:, :0]",
    "exits": "exit(0)",
}
NETWORK = """import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x): return {}

def net(): return Net()
"""


@pytest.mark.parametrize("case", [*BACKBONES, *FORWARDS])
def test_a_backbone_that_is_wrong(tmp_path, module, case):
    own = f"import torch\nfrom torch import nn\n\n{BACKBONES[case]}\n" if case in BACKBONES else NETWORK.format(FORWARDS[case])
    module("fuzzed_backbone", own)
    from hqc_ray.models import backbones

    backbones.of.cache_clear()
    model = "{backbone: 'fuzzed_backbone:net', weights: random, head: linear}"
    text = SWEEP.replace("{backbone: cnn1, head: linear}", model)
    data = "{source: synthetic, size: 20, images: 40, size_pixels: 16}"
    (tmp_path / "s.yaml").write_text(text.replace("{source: 'fuzzed_source:Mine', size: 40, token: '${FUZZ_TOKEN}'}", data))
    said = refused(tmp_path, "plan", tmp_path / "s.yaml")
    assert "fuzzed_backbone:net" in said
    assert "fuzzed_backbone.py, line " in said
