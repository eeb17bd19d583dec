"""`hqc data`: look at a data source."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hqc_ray.commands import OK, Downloads
from hqc_ray.errors import InputError, shown
from hqc_ray.files import short


def add(known: Any) -> None:
    """Add `data` to the commands of `hqc`."""
    data = known.add_parser("data", help="check a data source, and draw a sheet of samples")
    data.add_argument("source", help="such as pcam, folder, csv or idx, or package.module:name")
    data.add_argument("options", nargs="*", help="options of the source, such as path=DIR split=train classes=3,8")
    data.add_argument("--sheet", default="", help="where to write the sample sheet (default: SOURCE.png)")
    data.add_argument("--download", metavar="DIR", help="fetch PatchCamelyon into DIR first (8 GB; pcam only)")
    data.set_defaults(command=_data)


def _data(arguments: argparse.Namespace) -> int:
    from hqc_ray import data, usercode
    from hqc_ray.data import checked, sheet
    from hqc_ray.data.sources import download

    options: dict[str, str] = {}
    for name, value in map(_option, arguments.options):
        if name in options:
            raise InputError(f"the option {shown(name)} twice", valid="each option once")
        options[name] = value
    if arguments.download:
        if arguments.source != "pcam":
            raise InputError("only PatchCamelyon can be fetched", where="--download", valid="hqc data pcam --download DIR")
        with Downloads() as bar:
            download.fetch_pcam(arguments.download, progress=bar)
        options.setdefault("path", arguments.download)
    classes = options.pop("classes", None)
    usercode.findable(Path.cwd())
    source = data.get(arguments.source, classes=None if classes is None else classes.split(","), **options)
    checked.check(source)
    for line in sheet.summary(source).lines():
        print(line)
    path = Path(arguments.sheet or f"{short(arguments.source.replace(':', '_'))}.png")
    sheet.sample_sheet(source, path)
    print(f"sample sheet: {path}")
    return OK


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"not an option: {shown(text)}", valid="name=value, such as path=DIR")
    return name, value
