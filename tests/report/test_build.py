"""The whole report: every file, from rows that are odd as well, and a page that fetches nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_rows import as_frame, failed_row, make_row, suspect_rows, sweep_rows, transferred, write_examples

from hqc_ray import report
from hqc_ray.errors import ResultsError

PROVENANCE = {"commit": "abc123", "versions": {"torch": "2.15"}, "hosts": ["a", "b"]}


class Page(HTMLParser):
    """What a browser would fetch, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.open, self.texts, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "wbr", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("results")
    rows = write_examples(tmp_path, sweep_rows(heads=("tanh", "vqc1"), seeds=(0,)))
    rows += [failed_row(head="vqc2", attack="pgd")]
    tanh, vqc1 = (next(r for r in rows if r["head"] == h and r["attack"] == "pgd") for h in ("tanh", "vqc1"))
    rows += [transferred(vqc1, tanh, 44), make_row("pgd", 0.3, robust=70, level="angles", epsilon_unit="radian", access="ideal")]
    rows = as_frame(suspect_rows() + rows)
    return tmp_path, rows, report.build(tmp_path, report.Report.of(rows), PROVENANCE, "A <sweep> & more")


def test_every_file_is_there_and_returned(built):
    folder, _, paths = built
    names = [p.relative_to(folder).as_posix() for p in paths]
    assert [n for n in names if "figures" not in n] == ["table.md", "summary.csv", "rows.csv", "rows.parquet", "report.html"]
    assert len([n for n in names if n.startswith("figures/accuracy_")]) == 3
    assert len([n for n in names if n.startswith("figures/transfer_")]) == 1
    assert len([n for n in names if n.startswith("figures/heads_")]) == 1
    assert len([n for n in names if n.startswith("figures/patches_")]) == 2
    assert all(p.stat().st_size > 500 for p in paths)
    assert not [p for p in folder.rglob("*") if ".part" in p.name]


def test_page_fetches_nothing_and_says_everything(built):
    folder, _, paths = built
    text = paths[-1].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(source.startswith(("data:image/webp;base64,", "#")) for source in page.sources)
    assert len([source for source in page.sources if source.startswith("data:")]) == 2 * 2 * (1 + 2 * 8)  # models, images
    written = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href|url\(|@import)\s*=?\s*[\"']?\s*(?:https?:)?//", written)
    told = " ".join(page.texts)
    for expected in ("A <sweep> & more", "rises_", "MemoryError", "2.15", "a, b", "FGSM rises_", "PGD [ideal]",
                     "0.3 rad (angles)", "Transferred attacks", "27 of its 33 rows would be flagged; 22 without DeepFool",
                     "(paper 77.8!)", "correct before and after, over the evaluated images"):  # fmt: skip
        assert expected in told
    assert str(folder) not in text


def test_the_page_links_to_every_section_that_it_has(built):
    text = built[2][-1].read_text(encoding="utf-8")
    written = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    ids = re.findall(r'\bid="([^"]+)"', written)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in Page(text).sources if link.startswith("#")} <= set(ids)
    assert all('scope="col"' in tag for tag in re.findall(r"<th\b[^>]*>", written))


@pytest.mark.parametrize(("source", "there"), [("pcam", True), ("idx", False)])
def test_the_reference_study_stands_beside_its_own_data_alone(tmp_path, source, there):
    rows = write_examples(tmp_path, [make_row("pgd", 0.05, robust=30, data_source=source)])
    *_, path = report.build(tmp_path, report.Report.of(as_frame(rows)), {}, "study")
    text = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [said in text for said in ('<section id="reference"', 'href="#reference"', "Table II")] == [there] * 3
    assert {"#images", "#results"} <= set(Page(text).sources)
    assert "patch" not in re.sub(r"<.*?>", "", text.partition("<main>")[2]).lower()


def test_nothing_of_a_row_ends_a_script_or_opens_a_tag(tmp_path):
    odd = "</script><img src=x onerror=alert(1)><!--"
    rows = as_frame([make_row("pgd", 0.05, robust=30, head_title=odd), failed_row(attack="fgsm", backbone_title=odd)])
    report.build(tmp_path, report.Report.of(rows), {"<b>": [{"x": odd}]}, odd)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "x" not in page.sources
    assert page.tags.count("script") == 4
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert odd in data["texts"]["head"]["values"]


def test_numbers_of_the_page_are_those_of_the_rows(built):
    _, rows, paths = built
    data = json.loads(re.search(r'id="data">(.*?)</script>', paths[-1].read_text(encoding="utf-8"))[1])
    texts = {name: [column["values"][code] for code in column["codes"]] for name, column in data["texts"].items()}
    every = report.Report.of(rows)
    for i, row in enumerate(every.rows.to_dict("records")):
        assert texts["head"][i] == every.models[row["key"]].full_head
        assert texts["attack"][i] == every.shown[row["key"]].text
        assert data["flags"][i] == row["flags"]
        robust = data["numbers"]["robust"][i]
        assert robust is None if pd.isna(row["robust_accuracy"]) else robust == pytest.approx(100 * row["robust_accuracy"])
    lines = {(line.model, line.ball and line.ball.epsilon, line.ball and line.ball.level): line.worst for line in every.lines}
    for i, row in enumerate(every.rows.to_dict("records")):  # one seed: the worst case is the line's
        if row["status"] == "ok" and row["epsilon"] > 0:
            worst = lines[every.models[row["key"]], row["epsilon"], row["level"]]
            assert data["numbers"]["worst"][i] == pytest.approx(worst.mean, rel=1e-4)
    took = sum(value or 0 for value in data["numbers"]["gradients"])
    assert took == pytest.approx(every.facts.gradients)


def test_code_in_a_sentence_is_code_in_the_page(tmp_path):
    """And in Markdown as its author wrote it; what comes from a user's names stays a text."""
    rows = as_frame([make_row("pgd", 0.05, robust=30, head="`<b>`"), failed_row(attack="fgsm", epsilon=0.15)])
    *_, path = report.build(tmp_path, report.Report.of(rows), {}, "code")
    text = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    sections = text.partition('<section id="reference"')[0]
    assert "(add <code>controls: true</code>)" in text
    assert "add <code>{name: noise}</code> to the attacks" in text
    assert "attacked without <code>bottleneck</code> or <code>autoattack</code>" in text
    assert "`" not in re.sub(r"<td.*?</td>", "", sections)
    assert "with <code>&lt;b&gt;</code>" in text
    assert "(add `controls: true`)" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_provenance_and_sweep_file_can_be_read(tmp_path):
    (tmp_path / "sweep.yaml").write_text("name: <mine>\nblocks: []\n")
    told = {"runs": [{"packages": {"torch": "2.15"}, "seconds": 3.5}, {"hosts": ["a", "b"]}], "nothing": None}
    paths = report.build(tmp_path, report.Report.of(as_frame([make_row("pgd", 0.05, robust=30)])), told, "odd")
    text = paths[-1].read_text(encoding="utf-8")
    assert "name: &lt;mine&gt;\nblocks: []" in text
    assert "<dt>packages</dt><dd><dl><dt>torch</dt><dd>2.15</dd></dl></dd><dt>seconds</dt><dd>3.5</dd>" in text
    assert "{'" not in text[text.index('<section id="provenance"') : text.index('id="data"')]


def test_figures_are_few_and_the_important_ones(tmp_path):
    heads = ("linear", *(f"sim{i}" for i in range(1, 20)))
    rows = [
        row for size in (500, 1000, 2000, 5000) for row in sweep_rows(heads=heads, seeds=(0,), epsilons=(0.05,), data_size=size)
    ]
    report.build(tmp_path, report.Report.of(as_frame(rows)), {}, "many")
    names = [path.name for path in (tmp_path / "figures").iterdir()]
    assert len([n for n in names if n.startswith("heads_")]) == len([n for n in names if n.startswith("accuracy_")]) == 3
    assert len(names) <= 12


def test_rebuilding_gives_the_same(built):
    folder, rows, paths = built
    before = {p: p.read_bytes() for p in paths}
    stale = folder / "figures" / "accuracy_of_an_earlier_sweep.png"
    foreign = folder / "figures" / "my_own.png"
    stale.write_bytes(b"")
    foreign.write_bytes(b"")
    again = report.build(folder, report.Report.of(rows.sample(frac=1, random_state=2)), PROVENANCE, "A <sweep> & more")
    assert again == paths
    assert {p: p.read_bytes() for p in again} == before
    assert not stale.exists()
    assert foreign.exists()


@pytest.mark.parametrize("rows", [
    [],
    [make_row("pgd", 0.05, robust=30)],
    [make_row("clean", 0.0)],
    [failed_row(attack="pgd")],
    [make_row("fgsm", 0.05, robust=30, head="linear"), make_row("pgd", 0.0, robust=176, head="linear")],
    [make_row("pgd", 0.05, robust=30, example="examples/gone.npz", mean_l2=None, test_accuracy=None)],
    [make_row("pgd", 0.05, n=3, clean=0, robust=0)],
], ids=["none", "single", "clean", "failed", "classical", "missing", "nothing right"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.* examples are not there")
def test_odd_rows_still_give_a_report(tmp_path, rows):
    paths = report.build(tmp_path, report.Report.of(as_frame(rows)), {}, "odd")
    assert [p.name for p in paths if p.suffix != ".png"] == ["table.md", "summary.csv", "rows.csv", "rows.parquet", "report.html"]
    assert Page(paths[-1].read_text(encoding="utf-8")).open == []
    assert len(pd.read_parquet(tmp_path / "rows.parquet")) == len(rows)


@pytest.mark.filterwarnings("ignore:.* examples are not there")
def test_pictures_outlive_the_examples_they_were_drawn_from(tmp_path):
    """As in a results folder that is committed or mailed: examples are large, and stay at home."""
    rows = write_examples(tmp_path, [make_row(a, 0.05, robust=9) for a in ("fgsm", "pgd")])
    paths = report.build(tmp_path, report.Report.of(as_frame(rows)), {}, "all")
    (picture,) = [p for p in paths if p.name.startswith("patches_")]
    before = picture.read_bytes()
    for gone in (rows[:1], rows):
        for row in gone:
            (tmp_path / row["example"]).unlink(missing_ok=True)
        assert report.build(tmp_path, report.Report.of(as_frame(rows)), {}, "all") == paths
        assert picture.read_bytes() == before
    assert report.build(tmp_path, report.Report.of(as_frame([make_row("fgsm", 0.05, robust=9)])), {}, "none kept any")
    assert not picture.exists()


def test_another_table_is_refused():
    with pytest.raises(ResultsError, match="without the column 'access'"):
        report.Report.of(pd.DataFrame({"key": ["a"], "status": ["ok"]}))


def test_rows_are_looked_through_once(tmp_path, monkeypatch):
    """Whatever is written of them: table, terminal, files, figures and page show one report."""
    from hqc_ray.report.content import view

    counts = dict.fromkeys(("annotate", "gather", "matrices"), 0)

    def counted(name, function):
        def call(*arguments):
            counts[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(view.audit, "annotate", counted("annotate", view.audit.annotate))
    for name in ("gather", "matrices"):
        monkeypatch.setattr(view, name, counted(name, getattr(view, name)))
    made = report.Report.of(as_frame([make_row("pgd", 0.05, robust=30)]))
    report.build(tmp_path, made, {}, "once")
    report.terminal_table(made)
    assert set(counts.values()) == {1}


def test_patches_are_saved_in_256_colours_and_charts_in_all():
    figure = Figure(figsize=(4, 4))
    noise = np.random.default_rng(0).random((200, 200, 3))
    figure.subplots().imshow(noise)
    pictures = [Image.open(BytesIO(report._png(figure, photographs))) for photographs in (False, True)]
    colours = [len(set(one.convert("RGB").getdata())) for one in pictures]
    assert colours[0] > 1000
    assert colours[1] <= 256
    assert pictures[0].size == pictures[1].size
