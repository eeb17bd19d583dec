"""What the documents say is so: their sweep files can be planned, README's Python runs, links lead to files and headings."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import torch
import yaml

from hqc_ray import data, plan, spec
from hqc_ray.attacks import ATTACKS
from hqc_ray.spec import SECTIONS
from hqc_ray.sweep import run
from hqc_ray.sweep.graph.resolve import Rooms
from tests.test_rooms import ROOMS, SUBROOMS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not {".venv", "node_modules", ".git"} & set(p.relative_to(ROOT).parts))
README, DESIGN, SWEEPS = ((ROOT / name).read_text() for name in ("README.md", "docs/design.md", "docs/sweeps.md"))
TOLD = "\n".join((README, SWEEPS, *((ROOT / "docs" / name).read_text() for name in ("tutorial.md", "certificates.md"))))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", TOLD, re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_to_files(path):
    targets = [link.partition("#")[0] for link in LINK.findall(path.read_text()) if "://" not in link]
    assert not [target for target in targets if target and not (path.parent / target).exists()]


def anchors(path):
    """The headings of a page, as GitHub names them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    names = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", name)).strip().lower().replace(" ", "-") for name in names
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_anchors_of_links_are_headings(path):
    for target, _, anchor in (link.partition("#") for link in LINK.findall(path.read_text()) if "://" not in link):
        page = path.parent / target if target else path
        assert not anchor or anchor in anchors(page), f"{path.name}: {page.name} has no heading #{anchor}"


def test_every_page_is_on_the_site_and_every_link_leads_somewhere(tmp_path):
    mkdocs = pytest.importorskip("mkdocs.commands.build")
    config = pytest.importorskip("mkdocs.config").load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    mkdocs.build(config)
    assert "Two commands" in (tmp_path / "index.html").read_text()
    assert 'href="../../science.html"' not in (tmp_path / "index.html").read_text()
    assert (tmp_path / "benchmarks" / "certificates.html").exists()


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: yaml.safe_load(text)["name"])
def test_the_sweep_files_of_the_documents_can_be_planned(text, monkeypatch):
    monkeypatch.setenv("HQC_DATA", "where the data are")
    raw = yaml.safe_load(text)
    for part in (raw.get("defaults", {}), *raw["blocks"]):
        found = part.get("data", {})
        if found.get("source", "synthetic") != "synthetic":  # data that are not on every machine
            assert set(found) <= {*spec.DataSpec.model_fields, *data.SOURCES[found["source"]].model_fields}
            part["data"] = {"source": "synthetic"} | ({"size": found["size"]} if "size" in found else {})
    made = plan.build(spec.parse(raw, "readme"), Rooms())
    told = re.search(r"(\d+) searches, (\d+) rows", text)
    if told:
        assert (len(made.groups), made.n_cells) == (int(told[1]), int(told[2]))


def test_the_users_module_of_the_documents_can_be_planned(tmp_path, monkeypatch):
    (text,) = blocks("py")
    (tmp_path / "readme_mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    model = {"backbone": "readme_mine:network", "weights": "random", "head": "readme_mine:ansatz"}
    raw = {"name": "own", "blocks": [{"model": model, "data": {"source": "synthetic", "size": 40}, "attack": {"name": "clean"}}]}
    assert plan.build(spec.parse(raw, "readme"), Rooms()).n_cells == 1


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The folder of a small quickstart: one device, one attack, few images."""
    raw = yaml.safe_load((ROOT / "sweeps" / "quickstart.yaml").read_text())
    raw["defaults"] |= {"data": {"source": "synthetic", "size": 40}, "train": {"epochs": 1}, "evaluate": {"images": 6}}
    raw["defaults"] |= {"attack": {"name": "pgd", "epsilon": 0.05, "steps": 2}, "device": {"name": "default.qubit"}}
    raw["blocks"][0]["model"] |= {"image_size": 32}
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "quickstart.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HQC_CACHE", str(folder / "cache"))
        run.execute(folder / "quickstart.yaml", folder / "results", serial=True)
    return folder


@pytest.mark.parametrize("text", re.findall(r"```python\n(.*?)```", README, re.DOTALL), ids=["results", "circuits"])
def test_the_python_of_the_readme_runs_as_it_stands(text, quickstart, monkeypatch, capsys):
    if "import foolbox" in text:
        pytest.importorskip("foolbox")
    monkeypatch.chdir(quickstart)
    names = {}
    exec(compile(text, "README.md", "exec"), names)  # noqa: S102 - our own document
    if "found" in names:
        assert "robust by this attack: " in capsys.readouterr().out
        assert torch.allclose(names["logits"], names["model"](names["pixels"]))


def test_names_that_python_blocks_import_exist():
    for path in DOCUMENTS:
        for text in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hqc_ray"):
                    module = importlib.import_module(node.module)
                    assert all(hasattr(module, name.name) for name in node.names), f"{path.name}: {ast.unparse(node)}"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_documents_name_every_key_of_every_section(section):
    line = next(line for line in SWEEPS.splitlines() if line.startswith(f"| `{section}` |"))
    assert not [key for key in SECTIONS[section].model_fields if f"`{key}`" not in line]


def test_the_documents_name_every_attack_and_every_source_with_its_options():
    line = next(line for line in SWEEPS.splitlines() if line.startswith("| `attack` |"))
    assert not [name for name in ATTACKS if f"`{name}`" not in line]
    for name, entry in data.SOURCES.items():
        line = next(line for line in SWEEPS.splitlines() if line.startswith(f"| `{name}` |"))
        assert not [option for option in entry.model_fields if f"`{option}`" not in line], name


def test_the_design_names_every_room_in_its_order():
    table = DESIGN.partition("## Rooms")[2].partition("Sub-rooms")[0]
    told = [name.removesuffix(".py").rstrip("/") for name in re.findall(r"^\| `([^`|]*)` \|", table, re.MULTILINE)]
    assert told == ROOMS


@pytest.mark.parametrize("room", SUBROOMS)
def test_the_design_names_every_sub_room(room):
    table = DESIGN.partition("Sub-rooms")[2].partition("## ")[0]
    assert not [name for floor in SUBROOMS[room] for name in floor if f"`{name}`" not in table and f"`{name}/`" not in table]


def test_every_file_and_folder_that_the_design_names_is_there():
    names = set(re.findall(r"`([a-z_]+/[\w/]*(?:\.py)?)`", DESIGN))
    places = [ROOT / "hqc_ray", ROOT, *(ROOT / "hqc_ray" / room for room in SUBROOMS)]
    assert len(names) > 40
    assert not [name for name in names if not any((place / name).exists() for place in places)]
