"""`hqc list`: the names that a sweep file may use for what has no command of its own, with their options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from hqc_ray.commands.output import json_option, print_json, print_table, print_text
from hqc_ray.commands.parser import summary

EXAMPLE = """\
hqc list attacks        # with their options and defaults
hqc list backbones --json | jq -r .[].name"""
YOURS = {
    "attacks": "of other libraries: foolbox:NAME, art:NAME, torchattacks:NAME; your own: package.module:Class",
    "backbones": "your own: package.module:name, a function that returns a torch module, or a class",
    "heads": "circuits: `hqc circuits`; your own: package.module:name, a circuit's function, or a class",
}


def add(known: Any) -> None:
    """Add `list` to the commands of `hqc`."""
    about = summary("list the attacks, backbones or heads that a sweep file may name, and their options")
    listing = known.add_parser("list", **about, example=EXAMPLE)
    listing.add_argument("kind", choices=tuple(YOURS), help=", ".join(YOURS))
    json_option(listing)
    listing.set_defaults(command=_list)


def _list(arguments: argparse.Namespace) -> int:
    from hqc_ray.entries import describe
    from hqc_ray.errors import natural

    table = _table(arguments.kind)
    found = [(name, describe(table[name]), " ".join((table[name].__doc__ or "").split("\n\n")[0].split()))
             for name in sorted(table, key=natural)]  # fmt: skip
    if arguments.json:
        print_json([dict(zip(("name", "options", "about"), one, strict=True)) for one in found])
        return 0
    print_table((arguments.kind, "options", "about"), found, fold=(1, 2))
    print()
    print_text(YOURS[arguments.kind])
    return 0


def _table(kind: str) -> Mapping[str, Any]:
    if kind == "attacks":
        from hqc_ray.attacks import ATTACKS

        return ATTACKS
    if kind == "backbones":
        from hqc_ray.models.backbones import BACKBONES

        return BACKBONES
    from hqc_ray.models.heads import HEADS

    return HEADS
