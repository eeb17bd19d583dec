"""The rooms of docs/design.md: a module imports only from rooms above its own, and Ray is known to two rooms only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hqc_ray"
OF_RAY = ("sweep/tune/", "cluster/")
ROOMS = [
    "later", "redaction", "errors", "seeds", "guard", "entries", "files", "columns", "locks", "spec", "usercode", "results",
    "plan", "data", "quantum", "models", "certify", "attacks", "evaluation", "sweep", "report", "archive", "cluster", "commands",
    "cli", "__main__",
]  # fmt: skip
SUBROOMS = {  # the same inside a room that has sub-rooms; rooms in one tuple do not know each other
    "data": [("source",), ("checked",), ("splits", "selection", "sources"), ("sheet",)],
    "models": [
        ("backbones", "levels", "functions"),
        ("head", "features"),
        ("heads", "part"),
        ("classifier", "trial"),
        ("training",),
    ],
    "certify": [("basis",), ("margins",), ("reach",), ("search",), ("certificate",), ("bounds",)],
    "attacks": [
        ("borrowed", "landmarks", "counts"),
        ("spaces", "losses", "result", "steady"),
        ("balls", "view"),
        ("wrappers", "judges", "cut"),
        ("base",),
        ("searches", "contract", "libraries"),
        ("trial",),
    ],
    "quantum": [("circuits", "noise"), ("ideal",), ("transfer",), ("devices",), ("cores",), ("study",)],
    "sweep": [("graph",), ("work", "progress", "observers"), ("driver",), ("serial", "isolated", "tune", "histories"), ("run",)],
    "report": [("style", "files"), ("content",), ("tables", "figures"), ("page",)],
}  # fmt: skip
FORBIDDEN = {
    "spec": {"torch", "ray"}, "plan": {"torch", "ray"}, "results": {"torch", "ray"}, "data": {"torch", "ray"}, "quantum": {"ray"},
    "models": {"ray"}, "certify": {"ray"}, "attacks": {"ray", "h5py"}, "evaluation": {"ray"}, "report": {"torch", "ray"},
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
            assert path.relative_to(PACKAGE).as_posix().startswith(OF_RAY), f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.relative_to(PACKAGE).parts[0] in SUBROOMS], ids=lambda p: p.stem)
def test_a_module_imports_only_from_sub_rooms_above(path):
    room, *inner = path.relative_to(PACKAGE).with_suffix("").parts
    floors = {name: floor for floor, names in enumerate(SUBROOMS[room]) for name in names}
    if inner[0] == "__init__":
        return
    for name in imported(path):
        if name.startswith(f"hqc_ray.{room}."):
            other = name.split(".")[2]
            if other not in floors and not any((PACKAGE / room).glob(f"{other}*")):
                continue  # a name that the room's own __init__ gives to everybody
            assert other == inner[0] or floors[other] < floors[inner[0]], f"{room}/{'/'.join(inner)} imports {name}"


def test_no_module_is_longer_than_a_reader_can_hold():
    long = {str(p.relative_to(PACKAGE)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 300}
    assert not long
