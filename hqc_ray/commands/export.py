"""`hqc export`: the attacked images that a sweep kept, in PatchCamelyon's HDF5 layout, for any other model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hqc_ray.commands import OK, summary

EXAMPLE = """\
hqc export results/mine 3f2a9c attacked            # by the key of a row, or how it begins
hqc export results/mine 3f2a9c before --clean"""


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
    from hqc_ray.results.kept import kept

    folder = Folder(Path(arguments.folder))
    row = folder.row(arguments.row)
    found = kept(folder, row)
    images = found["clean" if arguments.clean else "adversarial_8bit"]
    told: dict[str, str | float] = {"attack": row.attack, "options": row.attack_options, "epsilon": row.epsilon}
    told |= {
        "changed": "no" if arguments.clean else "yes",
        "row": row.key,
        "norm": row.norm,
        "searched_on": row.search_model_key,
        "classes": row.class_names,
    }
    paths = pcam.write_split(Path(arguments.to), "test", images, found["labels"], **told)
    print(*paths, sep="\n")
    if not arguments.clean and row.robust_accuracy_8bit is not None:
        print(
            f"{len(images):,} images; the row counts {row.robust_accuracy_8bit:.4f} of them as right before and after the attack"
        )
    if images.shape[1:] != (96, 96, 3) or row.n_classes != 2:
        print("`source: pcam` reads 96 x 96 pixels and two classes only: other programs can read these files")
    return OK
