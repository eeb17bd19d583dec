"""The images that a sweep kept of its attacks on pixels: read again, and checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hqc_ray.errors import ResultsError
from hqc_ray.results.folder import Folder, kept_name
from hqc_ray.results.row import Row
from hqc_ray.results.seal import DamagedError, arrays, opened

KEEP = "a row of an attack on pixels, in a sweep with `evaluate: {keep: true}`"


def kept(folder: Folder, row: Row) -> Mapping[str, np.ndarray]:
    """What was kept of a row: `clean`, `adversarial_8bit` [N, H, W, 3] uint8, `adversarial` [N, 3, H, W] float16, `labels` [N].

    N is how many images the search attacked; of a row that a model of another seed judges, more than it was evaluated on.

    Raises:
        ResultsError: there are none, or they are damaged.
    """
    name = kept_name(row)
    try:
        found = arrays(opened((folder.path / name).read_bytes(), name)[0])
        images, labels = (found["clean"], found["adversarial_8bit"]), found["labels"]
    except FileNotFoundError as problem:
        raise ResultsError(f"no images of row {row.key} are kept", where=str(folder.path), valid=KEEP) from problem
    except OSError as problem:
        raise ResultsError(f"cannot be read: {problem.strerror}", where=str(folder.path / name)) from problem
    except (DamagedError, KeyError) as problem:
        again = "the sweep once more, which searches them again"
        raise ResultsError(f"damaged: {problem}", where=str(folder.path / name), valid=again) from problem
    ill = labels.dtype.kind not in "iu" or labels.ndim != 1
    if ill or any(one.dtype != np.uint8 or one.ndim != 4 or one.shape[-1] != 3 or len(one) != len(labels) for one in images):
        raise ResultsError("no images of a row", where=str(folder.path / name), valid="the file that a sweep wrote")
    return found
