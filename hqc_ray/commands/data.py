"""`hqc data`: look at a data source."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hqc_ray.commands import OK, Downloads, json_option, print_json, print_table, summary
from hqc_ray.errors import InputError, shown
from hqc_ray.files import short

EXAMPLE = """\
hqc data                                  # the sources and their options
hqc data synthetic images=1000
hqc data pcam path=data/pcam split=valid
hqc data folder path=photos classes=cats,dogs --sheet cats.png
hqc data pcam --download data/pcam        # fetch PatchCamelyon first"""


def add(known: Any) -> None:
    """Add `data` to the commands of `hqc`."""
    about = summary("list the data sources; or check one, and draw a sheet of samples")
    data = known.add_parser("data", **about, example=EXAMPLE)
    data.add_argument("source", nargs="?", help="such as pcam, folder, csv or idx, or package.module:name (default: list them)")
    data.add_argument("options", nargs="*", help="options of the source, such as path=DIR split=train classes=3,8")
    data.add_argument("--sheet", default="", metavar="FILE", help="where to write the sample sheet (default: SOURCE.png)")
    data.add_argument("--download", metavar="DIR", help="fetch PatchCamelyon into DIR first (8 GB; pcam only)")
    json_option(data)
    data.set_defaults(command=_data)


def _data(arguments: argparse.Namespace) -> int:
    if arguments.source is None:
        return _sources(arguments.json)
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
    found = sheet.summary(source)
    for line in found.lines() if not arguments.json else ():
        print(line)
    path = Path(arguments.sheet or f"{short(arguments.source.replace(':', '_'))}.png")
    sheet.sample_sheet(source, path)
    if arguments.json:
        print_json({"source": arguments.source, "images": sum(found.per_class), **vars(found), "sheet": path})
    else:
        print(f"sample sheet: {path}")
    return OK


def _sources(as_json: bool) -> int:
    """List the sources of the table, each with its options and their defaults."""
    from hqc_ray.data import SOURCES
    from hqc_ray.entries import describe

    if as_json:
        print_json([{"source": name, "options": describe(entry), "about": _about(entry)} for name, entry in SOURCES.items()])
        return OK
    lines = [[name, describe(entry), _about(entry)] for name, entry in SOURCES.items()]
    print_table(("source", "options", "about"), lines, fold=(1, 2))
    print("\nyour own: package.module:name, a subclass of hqc_ray.data.Source")
    return OK


def _about(entry: type) -> str:
    """The first sentence of what an entry says of itself."""
    return " ".join((entry.__doc__ or "").split("\n\n")[0].split())


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"not an option: {shown(text)}", valid="name=value, such as path=DIR")
    return name, value
