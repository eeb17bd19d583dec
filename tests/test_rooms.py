"""The rooms of docs/design.md: a module imports only from rooms above its own, and Ray is known to the runner and the cluster."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hqc_ray"
OF_RAY = ("sweep/runner.py", "sweep/collector.py", "sweep/deaths.py")
ROOMS = [
    "errors", "seeds", "entries", "spec", "plan", "rows", "data", "quantum", "models", "attacks", "evaluation", "sweep", "report",
    "cluster", "commands", "cli",
]  # fmt: skip
FORBIDDEN = {
    "spec": {"torch", "ray"}, "plan": {"torch", "ray"}, "rows": {"torch", "ray"}, "data": {"torch", "ray"}, "quantum": {"ray"},
    "models": {"ray"}, "attacks": {"ray", "h5py"}, "evaluation": {"ray"}, "report": {"torch", "ray"},
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_above(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "hqc_ray" and rest.split(".")[0] in ROOMS:
            assert ROOMS.index(rest.split(".")[0]) <= ROOMS.index(room), f"{room} imports {name}"
        assert top not in FORBIDDEN.get(room, set()), f"{room} imports {name}"
        if top == "ray":
            assert path.relative_to(PACKAGE).as_posix() in OF_RAY or room == "cluster", f"{path} imports {name}"


def test_no_module_is_longer_than_a_reader_can_hold():
    long = {str(p.relative_to(PACKAGE)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long
