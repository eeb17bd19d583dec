"""Write hqc_ray/models/backbones/torchvision.csv anew: what is known of the classifiers of the torchvision that is installed.

    python .ci/networks.py

Each network is run on images of `SIDES` without values (torch's device `meta`): what takes one of these, and all larger ones, is
known to take every size from there on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torchvision import models
from torchvision.models import regnet

from hqc_ray.models.backbones import published
from hqc_ray.models.backbones.architectures import torchvision

SIDES = (28, 32, 64, 96, 224, 256)
TABLE = Path(published.__file__).with_name("torchvision.csv")
COLUMNS = ("name", "gmacs", "side", "features", "smallest", "largest", "url")


def names() -> list[str]:
    """Torchvision's classifiers."""
    return models.list_models(module=models)


def facts(name: str) -> dict[str, object]:
    """What torchvision says of a network."""
    weights = models.get_model_weights(name)
    first = next(iter(weights))
    url = weights[published.WEIGHTS].url if published.WEIGHTS in weights.__members__ else ""
    side = float(first.transforms.keywords["crop_size"])
    return {"name": name, "gmacs": float(first.meta["_ops"]), "side": side, "url": url}


def sizes(name: str) -> dict[str, int]:
    """Features, and the images that a network takes."""
    body = _empty(name)
    found = {side: features for side in SIDES if (features := _features(body, side))}
    largest = 0 if SIDES[-1] in found else max(found)
    good = [side for side in SIDES if side <= (largest or side)]
    smallest = next(side for side in good if all(more in found for more in good if more >= side))
    (features,) = set(found.values())
    return {"features": features, "smallest": smallest, "largest": largest}


def _empty(name: str) -> torch.nn.Module:
    """A network without values; RegNet's computes its widths with tensors, which must have some."""
    widths = regnet.BlockParams.from_init_params

    def there(*args: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return widths(*args, **options)

    with mock.patch.object(regnet.BlockParams, "from_init_params", there), torch.device("meta"):
        return torchvision(name)().build().eval()


def _features(body: torch.nn.Module, side: int) -> int | None:
    try:
        with torch.inference_mode():
            return body(torch.zeros(1, 3, side, side, device="meta")).shape[1]
    except (RuntimeError, AssertionError, ValueError):
        return None


def rows() -> Iterator[dict[str, object]]:
    """All lines of the table."""
    for name in names():
        yield {**facts(name), **sizes(name)}


if __name__ == "__main__":
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows():
            writer.writerow(row)
            file.flush()
