"""Where a frozen backbone's weights come from, which file they are, and how a state dict gets into a network."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import sys
from collections import OrderedDict
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray import seeds
from hqc_ray.errors import ModelError, shown
from hqc_ray.later import later
from hqc_ray.models.backbones import checkpoint
from hqc_ray.models.backbones.published import WEIGHTS as TORCHVISION
from hqc_ray.models.backbones.published import networks

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torchvision import models as torchvision_models
else:
    torch = later("torch")
    nn = later("torch.nn")
    torchvision_models = later("torchvision.models")

_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")  # of nn.DataParallel, torch.compile, Lightning, ...
VALID = "imagenet, random, or the path of a state-dict file (.pth, .pt)"
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # training-time classifiers of Inception and GoogLeNet: never built here
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")  # torchvision's files still have the old names


@dataclass(frozen=True)
class WeightsId:
    """Which weights a backbone has: what to call them in a table, and what they are.

    Attributes:
        origin: for people: "file resnet18.pth", "torchvision IMAGENET1K_V1", "random", "own"; never a folder of one machine.
        digest: the first digits of the file's SHA-256; equal digests are equal weights.
    """

    origin: str
    digest: str


def identify(name: str, weights: str) -> WeightsId:
    """The identity of `weights` for the backbone `name`, without reading a tensor and without downloading.

    Raises:
        ModelError: neither a known word nor a file that exists.
    """
    if weights == "random":
        return WeightsId("random", f"{seeds.stream(0, 'weights', name):016x}")
    path = _path(name, weights)
    if path is None:
        return WeightsId(f"torchvision {TORCHVISION}", _published_hash(_url(name)))
    try:
        digest = _sha256(path, path.stat().st_mtime_ns, path.stat().st_size)
    except OSError as problem:
        raise ModelError(f"cannot be read: {problem.strerror}", where=str(path), valid="a file that you may read") from problem
    published = _published_hash(_url(name)) if weights == "imagenet" and _has_published(name) else ""
    if published and digest.startswith(published):  # torchvision's own file, put there by hand
        return WeightsId(f"torchvision {TORCHVISION}", published)
    return WeightsId(f"file {path.name}", digest[:16])


def file(name: str, weights: str) -> Path:
    """The file of `weights` ("imagenet" or a path) for the backbone `name`, downloaded if it is not there.

    Raises:
        ModelError: no such file, or the download failed.
    """
    path = _path(name, weights)
    if path is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / _url(name).rsplit("/", 1)[-1]
        if not path.is_file():
            _download(name)
    return path


def read(name: str, weights: str | bytes) -> dict[str, Tensor]:
    """The state dict of `weights` for the backbone `name`, on the CPU, floating point as float32.

    Args:
        name: of the backbone.
        weights: "imagenet", a path, or what such a file holds.

    Raises:
        ModelError: no such file, not a state dict, or the download failed (says where a file is looked for).
    """
    path = None if isinstance(weights, bytes) else _path(name, weights)
    where = str(path or name)
    file = io.BytesIO(weights) if isinstance(weights, bytes) else path
    state = checkpoint.tensors(_download(name) if file is None else checkpoint.load(file, where), where)
    kept = {_OLD_DENSENET.sub(r"\1\2.", key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}
    for key, value in kept.items():
        checkpoint.check_plain(key, value, where)
    floats = {key: value.float() if value.is_floating_point() else value for key, value in kept.items()}
    for key, value in floats.items():
        checkpoint.check_numbers(key, value, where)
    return floats


def load_into(body: nn.Module, state: dict[str, Tensor], name: str, where: str) -> None:
    """Put `state` into `body`, all of it or nothing.

    Raises:
        ModelError: the state is of another architecture; names the first key that is missing, unexpected or of another shape.
    """
    wanted = body.state_dict()
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}  # absent from old files, unused in eval mode
    missing = [key for key in wanted if key not in state and key not in optional]
    unexpected = [key for key in state if key not in wanted]
    wrong = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    kinds = [key for key in wanted if key in state and wanted[key].is_floating_point() and not state[key].is_floating_point()]
    if kinds and not (missing or unexpected or wrong):
        found = f"{kinds[0]!r} is {state[kinds[0]].dtype}"
        raise ModelError(f"these weights are not of the architecture {name}: {found}", where=where, valid="floating point")
    if missing or unexpected or wrong:
        found = f"{len(missing)} keys missing, {len(unexpected)} unexpected, {len(wrong)} of another shape; first: "
        if missing or unexpected:
            found += ", ".join([f"missing {key!r}" for key in missing[:1]] + [f"unexpected {key!r}" for key in unexpected[:1]])
            prefix = next((p for p in _PREFIXES if unexpected and all(key.startswith(p) for key in unexpected)), "")
            found += f"; their names begin with {prefix!r}: save them without it" if prefix else ""
        else:
            found += f"{wrong[0]!r} is {list(state[wrong[0]].shape)}, not {list(wanted[wrong[0]].shape)}"
        raise ModelError(f"these weights are not of the architecture {name}: {found}", where=where)
    complete = OrderedDict((key, state[key] if key in state else torch.zeros((), dtype=torch.long)) for key in wanted)
    complete._metadata = wanted._metadata  # type: ignore[attr-defined]  # layout versions: MNASNet refuses a state without
    body.load_state_dict(complete, assign=True)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """He et al. 2015 (arXiv 1502.01852): keeps activations alive through deep ReLU networks, with or without BatchNorm."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def digest(module: nn.Module) -> str:
    """The first digits of a SHA-256 over a module's parameters, buffers and other tensors: names, shapes, types and values."""
    tensors = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers(remove_duplicate=False))}
    for place, part in module.named_modules():
        tensors |= {f"{place}.{name}": value for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
    found = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {list(values.shape)} {values.dtype} ".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def missing(name: str, weights: str) -> str | None:
    """The address from which `weights` of the backbone `name` are downloaded when they are read; None: nothing is downloaded."""
    if weights != "imagenet" or _path(name, weights) or not _has_published(name):
        return None
    url = networks()[name].url
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    kept = Path(home).expanduser() / "hub" / "checkpoints" / url.rsplit("/", 1)[-1]  # where torch.hub keeps it
    return None if kept.is_file() else url


def is_placed(name: str, weights: str) -> bool:
    """Whether `weights` are a file that somebody put into $HQC_WEIGHTS as those of `name`: a checkpoint, and all of it is there.

    Its name says of which network it is; whether that is so is only seen by reading it.
    """
    path = _path(name, weights) if weights == "imagenet" else None
    return path is not None and checkpoint.is_whole(path)


def _path(name: str, weights: str) -> Path | None:
    """The file that `weights` stands for; None: torchvision's own download."""
    if weights == "imagenet":
        folder = os.environ.get("HQC_WEIGHTS", "")
        path = Path(folder) / f"{name}.pth"
        return path if folder and path.is_file() else None
    if not weights.endswith((".pth", ".pt")):
        raise ModelError(f"unknown weights {shown(weights)} for {name}", where="weights", valid=VALID)
    if os.path.isdir(weights):  # unlike Path's, these take any text
        raise ModelError(f"{weights!r} is a folder", where="weights", valid=VALID)
    if not os.path.isfile(weights):
        raise ModelError(f"no such weights file {weights!r} for {name}", where="weights", valid=VALID)
    return Path(weights)


def _has_published(name: str) -> bool:
    return name in networks() and networks()[name].url != ""


def _url(name: str) -> str:
    if ":" in name:
        valid = "weights: random keeps what its code builds or loads; or the path of a state-dict file (.pth, .pt)"
        raise ModelError(f"nobody publishes imagenet weights of {name!r}, your own backbone", where="weights", valid=valid)
    if not _has_published(name):
        place = f"$HQC_WEIGHTS/{name}.pth"
        raise ModelError(f"torchvision publishes no {TORCHVISION} weights of {name!r}", valid=f"{place}, random, or a path")
    return networks()[name].url


def _published_hash(url: str) -> str:
    """The digits of the SHA-256 that torchvision puts into its file names: 'f37072fd' of 'resnet18-f37072fd.pth'."""
    return url.rsplit("-", 1)[-1].removesuffix(".pth")


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, size: int) -> str:
    """Cached, because one sweep asks for the same file once per model; the time and size make a changed file a new one."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(name: str) -> Any:
    url = _url(name)
    try:
        with redirect_stdout(sys.stderr):  # it announces itself on stdout, which belongs to the command's own output
            return torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as problem:
        raise ModelError(
            f"cannot download the weights of {name!r} ({checkpoint.first_line(problem)})",
            valid=f"fetch {url} by hand and put it at $HQC_WEIGHTS/{name}.pth, or use weights: random",
        ) from problem
