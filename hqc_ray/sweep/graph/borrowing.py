"""What an attack may take over from other models, and what it may not."""

from __future__ import annotations

from hqc_ray import attacks
from hqc_ray.errors import AttackError
from hqc_ray.models import heads
from hqc_ray.spec import AttackSpec, ModelSpec


def at_level(attack: AttackSpec) -> tuple[str, ...]:
    """What a resolved attack borrows at its level; see `Attack.borrows`."""
    names = attacks.get(attack.name, **attack.options).borrows
    return tuple(name for name in names if attack.level in attacks.BORROWING[name].levels)


def named(attack: AttackSpec) -> list[str]:
    """The members that borrow of an attack as the file has it: those that it has by default are no wish of the user's."""
    return [name for name in attack.options.get("members", {}) if name in attacks.BORROWING]


def check(attack: AttackSpec, entry: attacks.Attack, model: ModelSpec) -> None:
    """Look for what cannot be borrowed at this level, or of this model where the attack does nothing else.

    Raises:
        AttackError: there is some.
    """
    for name in named(attack):
        if attack.level not in (levels := attacks.BORROWING[name].levels):
            what = f"{name!r} takes over {attack.level} of another model, which has others"
            raise AttackError(what, where=f"attack.members.{name}", valid=f"level: {' or '.join(levels)}")
    if not entry.alone and heads.get(model).kind != "circuit":
        lenders = " or ".join(entry.borrows)
        what = f"{attack.name!r} takes over what fools a circuit's {lenders}, and {model.head!r} is no circuit"
        valid = "a head with a circuit, or autoattack with another member"
        raise AttackError(what, where="attack.members", valid=valid)
