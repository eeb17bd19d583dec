"""`hqc export`: the attacked images that a sweep kept, in PatchCamelyon's HDF5 layout, for any other model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray.commands import OK, summary
from hqc_ray.errors import ResultsError, shown

if TYPE_CHECKING:
    import numpy as np

    from hqc_ray.results.folder import Folder
    from hqc_ray.results.row import Row

EXAMPLE = """\
hqc export results/mine 3f2a9c attacked            # by the key of a row, or how it begins
hqc export results/mine 3f2a9c before --clean"""
KEEP = "a row of an attack on pixels, in a sweep with `evaluate: {keep: true}`"


def add(known: Any) -> None:
    """Add `export` to the commands of `hqc`."""
    about = summary("write the attacked images that a sweep kept as a data set")
    export = known.add_parser("export", **about, example=EXAMPLE)
    export.add_argument("folder", help="such as results/quickstart")
    export.add_argument("row", help="the `key` of a row, or how it begins: rows.csv has them")
    export.add_argument("to", help="a folder for the two files of PatchCamelyon's split `test`")
    export.add_argument("--clean", action="store_true", help="the same images before the attack")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    from hqc_ray.data.sources import pcam
    from hqc_ray.results.folder import Folder

    folder = Folder(Path(arguments.folder))
    row = _row(folder.rows(), arguments.row, str(folder.path))
    kept = _kept(folder, row)
    images = kept["clean" if arguments.clean else "adversarial_8bit"]
    told: dict[str, str | float] = {"attack": row.attack, "options": row.attack_options, "epsilon": row.epsilon}
    told |= {
        "changed": "no" if arguments.clean else "yes",
        "row": row.key,
        "norm": row.norm,
        "searched_on": row.search_model_key,
        "classes": row.class_names,
    }
    paths = pcam.write_split(Path(arguments.to), "test", images, kept["labels"], **told)
    print(*paths, sep="\n")
    if not arguments.clean and row.robust_accuracy_8bit is not None:
        print(
            f"{len(images):,} images; the row counts {row.robust_accuracy_8bit:.4f} of them as right before and after the attack"
        )
    if images.shape[1:] != (96, 96, 3) or row.n_classes != 2:
        print("`source: pcam` reads 96 x 96 pixels and two classes only: other programs can read these files")
    return OK


def _row(rows: Sequence[Row], key: str, where: str) -> Row:
    """The one row whose key is `key`, or begins with it."""
    found = [row for row in rows if row.key == key] or [row for row in rows if row.key.startswith(key)]
    if len(found) != 1:
        what = f"{len(found)} rows begin with {shown(key)}" if found else f"no row {shown(key)}"
        raise ResultsError(what, where=where, valid=", ".join(row.key for row in (found or rows)[:5]) + " ... in rows.csv")
    return found[0]


def _kept(folder: Folder, row: Row) -> Mapping[str, np.ndarray]:
    """The images that were kept for a row.

    Raises:
        ResultsError: there are none, or they are damaged.
    """
    import numpy as np

    from hqc_ray.results.folder import kept_name
    from hqc_ray.results.seal import DamagedError, arrays, opened

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
