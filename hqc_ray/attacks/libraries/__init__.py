"""Attacks of other libraries by name, `foolbox:LinfPGD`: which ones work here, and the entries that they become."""

from __future__ import annotations

import functools

from hqc_ray.attacks.libraries.adapter import Adapter, Library, made
from hqc_ray.attacks.libraries.art import ART
from hqc_ray.attacks.libraries.foolbox import FOOLBOX
from hqc_ray.attacks.libraries.torchattacks import TORCHATTACKS
from hqc_ray.errors import AttackError, unknown

__all__ = ["LIBRARIES", "Adapter", "entry", "names"]

LIBRARIES: dict[str, Library] = {one.name: one for one in (FOOLBOX, ART, TORCHATTACKS)}


def names(name: str) -> bool:
    """Whether `name` asks for an attack of a library; `package.module:Class` of a user does not, whatever it is called."""
    return str(name).partition(":")[0] in LIBRARIES and ":" in str(name)


@functools.cache
def entry(name: str) -> type[Adapter]:
    """The class of entries for an attack of a library, `foolbox:LinfPGD`.

    Raises:
        AttackError: there is no such attack, it cannot work here, or the library is not installed.
    """
    prefix, _, own = name.partition(":")
    library = LIBRARIES[prefix]
    if own in library.refused:
        what, instead = library.refused[own]
        raise AttackError(f"attack {name!r} {what}", valid=instead)
    if own not in library.attacks:
        raise unknown("attack", name, [f"{prefix}:{one}" for one in library.attacks], AttackError)
    return made(library, own)
