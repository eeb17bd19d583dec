"""Prints what is installed here beyond hqc_ray, pytest and what these need: all that extras brought."""

import re
import sys
from importlib.metadata import distributions, requires

from packaging.requirements import InvalidRequirement, Requirement

KEPT = ("hqc_ray", "pip", "setuptools", "pytest", "pytest-xdist", "hypothesis", "packaging")


def normal(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(names: tuple[str, ...]) -> set[str]:
    """These and all that they require here, with the extras that they ask for."""
    found: set[str] = set()
    left = [(name, "") for name in names]
    seen = set()
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(normal(name))
        for line in requires(name) or []:
            try:
                wanted = Requirement(line)
            except InvalidRequirement:  # of an extra of an old package
                continue
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                left += [(wanted.name, asked) for asked in ("", *wanted.extras)]
    return found


if __name__ == "__main__":
    extra = {normal(found.metadata["Name"]) for found in distributions()} - needed(KEPT)
    print("\n".join(sorted(extra)))
    sys.exit(0 if extra else "nothing here is an extra")
