"""The notebook runs from its first cell to its last, in an empty folder, and what it shows is what its text says."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("foolbox")
NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebooks" / "foolbox.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    book = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[2]), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("HQC_CACHE", str(folder / "cache"))
        nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in book.cells if cell.cell_type == "code"], folder


def shown(cell):
    return "".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)


def test_every_cell_runs_and_the_sweep_is_whole(ran):
    cells, folder = ran
    assert len((folder / "results" / "foolbox" / "rows.jsonl").read_text().splitlines()) == 4
    assert all(cell.execution_count for cell in cells)


def test_foolbox_leaves_no_more_right_than_were(ran):
    cells, _ = ran
    clean = int(re.search(r"right on (\d+)%", shown(cells[2]))[1]) / 100
    numbers = [float(one) for one in re.findall(r"\d\.\d+", shown(cells[3]))]
    assert len(numbers) == 4
    assert all(0 <= number <= clean + 0.005 for number in numbers)
    assert numbers[2] <= numbers[0]  # PGD at 8/255 and at 1/255


def test_no_outputs_are_committed():
    assert not [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.get("outputs")]
