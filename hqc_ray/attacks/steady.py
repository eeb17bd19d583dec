"""What a search leaves as it found it, whatever it does: torch's settings, the global random streams, and the models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.errors import AttackError

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # of as many bytes as a value has
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (  # read, write
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    (lambda: torch.is_autocast_enabled("cuda"), lambda on: torch.set_autocast_enabled("cuda", on)),
)


@contextmanager
def restored(seed: int, device: torch.device, where: str = "") -> Iterator[None]:
    """Restore torch's settings and the global random streams afterwards; inside, the streams begin with `seed`.

    So a search that draws from a global stream, instead of its generator, gives the same result in every run.

    Args:
        seed: of the global streams of torch, NumPy and Python.
        device: whose stream of torch counts, besides the CPU's.
        where: by which attack, for the error.

    Raises:
        AttackError: it ends inside `torch.inference_mode()`, which nobody else can leave.
    """
    before = [read() for read, _ in _SETTINGS]
    streams = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global stream is what is kept
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - see above
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(streams[0])
            np.random.set_state(streams[1])  # noqa: NPY002 - see above
            for (read, write), value in zip(_SETTINGS, before, strict=True):
                if read() != value:
                    write(value)
    if torch.is_inference_mode_enabled():
        what = "the search yields inside torch.inference_mode()"
        raise AttackError(what, where=where, valid="torch.no_grad(), or a yield outside of it")


class Held:
    """The modules of some models: in evaluation mode, no gradients for their weights, and no tensor changed.

    Args:
        models: those that are torch modules count.
    """

    def __init__(self, *models: object) -> None:
        self._models = [model for model in models if isinstance(model, nn.Module)]
        modules = [m for model in self._models for m in model.modules()]
        self._modes = [(m, m.training) for m in modules]
        self._weights = [(p, p.requires_grad, p.grad) for m in modules for p in m.parameters(recurse=False)]
        self._before = self._fingerprint()

    def hold(self) -> None:
        """Evaluation mode and no gradients for the weights, once more."""
        for m, _ in self._modes:
            m.training = False
        for p, _, _ in self._weights:
            p.requires_grad_(False)

    def check(self, where: str) -> None:
        """Refuse what a search has done to the tensors.

        Raises:
            AttackError: a parameter or a buffer is not what it was; `where` says after which attack.
        """
        now = self._fingerprint()
        changed = [name for name in {**self._before, **now} if self._before.get(name) != now.get(name)]
        if changed:
            raise AttackError(
                f"the search changed the model it attacks: {changed[0]!r}", where=where, valid="a model left as it is"
            )

    def release(self) -> None:
        """Modes and gradients as they were."""
        for m, mode in self._modes:
            m.training = mode
        for p, wanted, grad in self._weights:
            p.requires_grad_(wanted)
            p.grad = grad

    def _fingerprint(self) -> dict[str, str]:
        """Of each tensor, by its name; one pass over the weights, before and after a search."""
        tensors = {
            f"{i}.{name}" if i else name: tensor
            for i, model in enumerate(self._models)
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        }
        seen: dict[int, str] = {}  # models may share a backbone
        return {name: seen.get(id(t)) or seen.setdefault(id(t), _sums(t.detach())) for name, t in tensors.items()}


def _sums(values: Tensor) -> str:
    """The sum of the values and that of their bits: every step of an optimizer moves them, and a change of signs one of them."""
    plain = torch.view_as_real(values) if values.is_complex() else values
    words = plain.view(_WORDS[plain.element_size()])
    # in their own types: to convert them first takes twenty times as long
    return f"{plain.sum().item()!r} {words.sum(dtype=words.dtype).item()} {list(values.shape)}"


@contextmanager
def frozen(*models: object) -> Iterator[Held]:
    """Evaluation mode and no gradients for the weights of those of `models` that are torch modules; all restored afterwards."""
    held = Held(*models)
    try:
        held.hold()
        yield held
    finally:
        held.release()
