"""Our PGD, APGD, FAB and Square against other libraries' own, at equal budgets, on the same trained models and images.

Each is an attack of one sweep, so the same contract decides. With HQC_DATA on PCam: 100 patches at 1/255 through resnet18, with
`vqc1` and `tanh`, on all cores (HQC_STRENGTH: a folder in which that sweep goes on); without it on drawn patches through a small
CNN. Ours may be weaker than none of them by more than chance (exact McNemar test, 5 %). Libraries that are not installed are left
out.
"""

from __future__ import annotations

import os
import tempfile
from importlib import metadata
from pathlib import Path

import common
import pandas as pd
import yaml

from hqc_ray.attacks.libraries import LIBRARIES
from hqc_ray.evaluation.statistics import discordant, mcnemar, unpack
from hqc_ray.results import ledger
from hqc_ray.sweep.run import execute

OURS = {"pgd": {"steps": 20}, "apgd": {"steps": 25}, "fab": {"steps": 15}, "square": {"queries": 200}}
THEIRS = {
    "pgd": {
        "foolbox:LinfPGD": {"steps": 20},
        "art:ProjectedGradientDescent": {"max_iter": 20, "num_random_init": 1},
        "torchattacks:PGD": {"steps": 20},
    },
    "apgd": {"art:AutoProjectedGradientDescent": {"max_iter": 25, "nb_random_init": 1}, "torchattacks:APGD": {"steps": 25}},
    "fab": {"torchattacks:FAB": {"steps": 15}},
    "square": {"art:SquareAttack": {"max_iter": 200}, "torchattacks:Square": {"n_queries": 200}},
}
REAL = {
    "data": {"source": "pcam", "path": "${HQC_DATA}", "size": 1000},
    "model": {"backbone": "resnet18", "weights": "imagenet", "head": ["vqc1", "tanh"]},
    "evaluate": {"images": 100},
}
DRAWN = {
    "data": {"source": "synthetic", "size": 800, "size_pixels": 32},
    "model": {"backbone": "cnn1", "head": "linear"},
    "evaluate": {"images": 100},
}


def main() -> None:
    """Sweep, and compare."""
    real = "HQC_DATA" in os.environ
    theirs = {ours: {name: o for name, o in some.items() if installed(name)} for ours, some in THEIRS.items()}
    attacks = {**OURS, **{name: options for some in theirs.values() for name, options in some.items()}}
    blocks = [{"attack": {"name": name, "epsilon": 1 / 255 if real else 0.01, **options}} for name, options in attacks.items()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "strength.yaml"
        file.write_text(yaml.safe_dump({"name": "strength", "defaults": REAL if real else DRAWN, "blocks": blocks}))
        results = Path(os.environ.get("HQC_STRENGTH", folder))
        execute(file, results, serial=not real)
        rows = ledger.frame(ledger.read(results / "strength" / "rows.jsonl"))
    for head, some in rows.groupby("head"):
        compare(f"{'PCam, ' if real else ''}{head}", some.set_index("attack"), theirs)


def compare(model: str, rows: pd.DataFrame, theirs: dict[str, dict[str, dict[str, int]]]) -> None:
    """One line of the table for each of our attacks and each library's."""
    for ours, some in theirs.items():
        for name in some:
            mine, other = (unpack(rows.loc[one, "robust_correct"], int(rows.loc[one, "n_evaluated"])) for one in (ours, name))
            worse, better = discordant(mine, other)
            measured = f"{mine.sum()} and {other.sum()} of {len(mine)} right ({worse} : {better}); {spent(rows, ours)} and "
            common.record(f"{ours} / {name}, {model}", measured + spent(rows, name), "not weaker (McNemar, 5 %)")
            assert worse <= better or mcnemar(mine, other) > 0.05, f"{ours} is weaker than {name} on {model}"


def spent(rows: pd.DataFrame, attack: str) -> str:
    """Work for an image that was right before."""
    attacked = rows.loc[attack, "clean_accuracy"] * rows.loc[attack, "n_evaluated"]
    kind = "gradients" if rows.loc[attack, "gradients"] else "forwards"
    return f"{rows.loc[attack, kind] / attacked:.1f} {kind}"


def installed(name: str) -> bool:
    """Whether the library of an attack is here."""
    try:
        return bool(metadata.version(LIBRARIES[name.partition(":")[0]].distribution))
    except metadata.PackageNotFoundError:
        print(f"left out: {name}, whose library is not installed")
        return False


if __name__ == "__main__":
    main()
