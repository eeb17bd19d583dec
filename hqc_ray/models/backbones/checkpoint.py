"""Files of weights: read without running code in them, and held to what a state dict is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray.errors import ModelError
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")

_SAVED = "torch.save(model.state_dict(), FILE)"


def is_whole(file: Path) -> bool:
    """Whether a file is an archive as torch.save writes it, none of its bytes lost or changed; no tensor in it is looked at.

    One that is not may still be weights, of an older form; `load` finds out, and says what else is wrong with it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = {member.filename.rpartition("/")[2] for member in members}
            if "data.pkl" not in names or "constants.pkl" in names:  # the latter is in those of TorchScript
                return False
            return sum(member.file_size for member in members) <= file.stat().st_size and archive.testzip() is None
    except Exception:  # what the readers of archives raise on damage is of many classes
        return False


def load(file: Path | io.BytesIO, where: str) -> Any:
    """What a file of weights holds; no code in it is run.

    Raises:
        ModelError: it cannot be opened, is damaged, or wants to run code.
    """
    valid = f"what {_SAVED} writes"
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as problem:
        raise ModelError("no permission to read it", where=where, valid="a file that you may read") from problem
    except FileNotFoundError as problem:
        raise ModelError(f"no such weights file {where!r}", where=where, valid="the path of a state-dict file") from problem
    except MemoryError as problem:
        raise ModelError("larger than the memory, or damaged", where=where, valid=valid) from problem
    except Exception as problem:  # what torch's readers raise on damage is of many classes
        raise ModelError(f"cannot be read: {_reason(file, problem)}", where=where, valid=valid) from problem


def tensors(state: Any, where: str) -> Mapping[str, Tensor]:
    """What a file holds, if that is a state dict.

    Raises:
        ModelError: it is something else; says where in it one is.
    """
    if not isinstance(state, Mapping) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise ModelError(f"not a state dict{_inside(state)}", where=where, valid=f"what {_SAVED} writes")
    return state


def check_plain(key: str, value: Tensor, where: str) -> None:
    """A tensor of a weights file must have all its values, one after another: a view may promise more than the file holds."""
    if value.is_complex():
        raise ModelError(f"the tensor {key!r} holds complex numbers", where=where, valid="real ones")
    if value.layout != torch.strided or value.is_meta or value.numel() * value.itemsize > value.untyped_storage().nbytes():
        found = "has fewer values than its shape" if value.layout == torch.strided else f"is {value.layout}"
        raise ModelError(f"the tensor {key!r} {found}", where=where, valid="plain tensors")


def check_numbers(key: str, value: Tensor, where: str) -> None:
    """Its values must be numbers that a network can have."""
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise ModelError(f"the tensor {key!r} holds NaN or infinity", where=where, valid="finite numbers")
    if key.endswith("running_var") and bool((value < 0).any()):
        raise ModelError(f"the tensor {key!r} holds a negative variance", where=where, valid="0 or more")


def first_line(problem: Exception) -> str:
    """What an exception says, in one line; its class, if it says nothing."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _reason(file: Path | io.BytesIO, problem: Exception) -> str:
    """Why a file of weights cannot be read; torch's own texts are about calls of torch.load."""
    with io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file.open("rb") as stream:
        head = stream.read(64)
    said = str(problem)
    if not head:
        return "it is empty"
    if head.lstrip()[:1] == b"<":
        return "it is a web page"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; git lfs pull fetches the file"
    if "TorchScript" in said:
        return "it is a TorchScript archive, which is code"
    if "Weights only load failed" in said and ("GLOBAL" in said or "global" in said):
        return "it is a pickle that holds more than tensors, such as a whole model, and would run code"
    if head.startswith(b"PK"):
        return "it is truncated or damaged"
    return f"it is no file of torch ({first_line(problem)[:80]})"


def _inside(state: Any) -> str:
    """Where a checkpoint with other things beside it holds one: what training frameworks write."""
    names = [key for key, value in state.items() if isinstance(value, Mapping)] if isinstance(state, Mapping) else []
    inner = next((key for key in names if all(isinstance(v, torch.Tensor) for v in state[key].values()) and state[key]), None)
    return "" if inner is None else f", but {inner!r} in it is one: save torch.load(FILE)[{inner!r}] as a file"
