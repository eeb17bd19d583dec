"""The page in a real browser: it fetches nothing, says nothing to the console, and charts and table filter each other.

Chromium is Debian's (`apt-get install chromium`) or playwright's own; without either, or without playwright, these are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from report_rows import as_frame, make_row, suspect_rows, sweep_rows, transferred, write_examples
from test_curves import histories

from hqc_ray import report
from hqc_ray.report.content.training import curves

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
EPSILONS = tuple(round(0.01 * step, 2) for step in range(1, 13))
NOISY = "qiskit.aer[fake_manila]"
SETTLE = "async () => { await report.settled(); await report.settled(); }"


@pytest.fixture(scope="module")
def chromium():
    """A browser without a network."""
    with playwright.sync_playwright() as runner:
        path = shutil.which("chromium") or runner.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no chromium: apt-get install chromium")
        browser = runner.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def small_rows():
    return [
        make_row("clean", 0.0),
        *(make_row(a, e, robust=90) for a in ("fgsm", "pgd", "deepfool", "noise") for e in (0.05, 0.15)),
    ]


def middle_rows(folder):
    """Flags, patches, transfers, levels, certificates, two devices: every section is there."""
    rows = sweep_rows(devices=("default.qubit", NOISY), seeds=(0, 1))
    tanh, vqc1 = (next(r for r in rows if r["head"] == head and r["attack"] == "pgd") for head in ("tanh", "vqc1"))
    rows += [transferred(vqc1, tanh, 44), *suspect_rows()]
    told = {"level": "angles", "epsilon_unit": "radian"}
    for head in ("tanh", "vqc1"):
        rows += [make_row("pgd", e, robust=170 - int(300 * e), head=head, certified_accuracy=0.3, **told) for e in (0.1, 0.3)]
    return write_examples(folder, [row for row in rows if row["seed"] == 0][:12]) + rows[12:]


def large_rows():
    heads = tuple(f"vqc{i}" for i in range(1, 9))
    return sweep_rows(heads=heads, devices=("default.qubit", NOISY), seeds=tuple(range(13)), epsilons=EPSILONS)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of 9, about 300 and about 10,000 rows."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, rows in (("small", small_rows()), ("middle", middle_rows(folder)), ("large", large_rows())):
        made = report.Report.of(as_frame({row["key"]: row for row in rows}.values()))
        pictures = report.strips(report.kept(made, folder), lambda name: folder / "figures" / f"{name}.png")
        path = folder / f"{name}.html"
        keys = [] if name == "small" else list(dict.fromkeys(row["model_key"] for row in rows))  # an early sweep has no curves
        trained = curves(made, histories(keys, epochs=30))
        path.write_text(report.page(made, pictures, {"runs": [{"packages": {"torch": "2"}}]}, name, "name: made_up\n", trained))
        found[name] = path
    return found


class Opened:
    """A page, and what it asked for and said."""

    def __init__(self, browser, path, *, address="", **options):
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        self.page = self.context.new_page()
        self.asked, self.said = [], []
        self.page.route("**/*", self._only_itself)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri() + address, timeout=120_000)
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
        self.page.evaluate(SETTLE)

    def _only_itself(self, route):
        if route.request.url.startswith("file:"):
            self.asked.append(route.request.url)
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()

    def close(self):
        self.context.close()
        assert self.said == []
        assert len(self.asked) == 1, self.asked  # the file itself

    def shown(self):
        """How many cells the table has, by its own words and by its own count."""
        told = self.page.inner_text("#chosen b")
        count = self.page.evaluate("report.shown().length")
        assert told.startswith(f"{count:,} of ")
        return count

    def values(self, chart):
        return self.page.evaluate("name => report.drawn.get(name).view.data('rows').map(of => ({...of}))", chart)


@pytest.fixture
def middle(chromium, pages):
    opened = Opened(chromium, pages["middle"])
    yield opened
    opened.close()


def rows_of(page, **wanted):
    """How many rows have these texts, counted in the page's own data."""
    return page.evaluate(
        "wanted => { const d = JSON.parse(document.getElementById('data').textContent).texts; let n = 0;"
        "for (let i = 0; i < d.head.codes.length; i++)"
        " if (Object.entries(wanted).every(([k, v]) => d[k].values[d[k].codes[i]] === v)) n++; return n; }",
        wanted,
    )


def test_a_filter_of_the_list_changes_table_and_charts(middle):
    page, all_of_them = middle.page, middle.shown()
    assert {value["by"] for value in middle.values("accuracy")} == {"linear", "tanh (4)", "vqc1", "vqc6"}
    page.click(".filter[data-name=head] summary")
    page.check(".filter[data-name=head] input[value=vqc6]")
    page.evaluate(SETTLE)
    assert 0 < middle.shown() == rows_of(page, head="vqc6") < all_of_them
    assert {value["by"] for value in middle.values("accuracy")} == {"vqc6"}
    assert {value["by"] for value in middle.values("clean")} == {"vqc6"}
    assert set(page.locator("#cells tbody td.head").all_inner_texts()) == {"vqc6"}
    page.keyboard.press("Escape")
    page.click("#chosen .chip >> text=Show all")
    page.evaluate(SETTLE)
    assert middle.shown() == all_of_them
    page.fill("#cells_wrapper input[type=search], .dt-search input >> nth=0", "deepfool")
    page.evaluate(SETTLE)
    assert middle.shown() == rows_of(page, attack="DeepFool")
    assert "search=deepfool" in page.url


def test_a_click_into_a_chart_filters_the_table(middle):
    page = middle.page
    page.locator("#chart-cost .mark-rect path").nth(2).click()
    page.evaluate(SETTLE)
    assert middle.shown() == rows_of(page, head="vqc1")
    assert "head=vqc1" in page.url
    page.locator("#chart-cost .mark-rect path").first.click()
    page.evaluate(SETTLE)
    assert middle.shown() == page.evaluate("report.table.rows().count()")  # once more takes the filter away
    page.locator("#chart-clean .role-legend-symbol path").first.click()
    page.evaluate(SETTLE)
    assert middle.shown() == rows_of(page, head="linear")


def test_curves_have_the_values_of_the_report(middle, pages, tmp_path):
    """The page pools images and takes the strongest attack by itself: the same numbers as the report's lines."""
    made = report.Report.of(as_frame({row["key"]: row for row in middle_rows(tmp_path)}.values()))
    middle.page.select_option("[data-choice=panels]", "device")
    middle.page.evaluate("report.filters.set('images', new Set(['1,000 images'])); report.apply()")
    middle.page.evaluate(SETTLE)
    found = {(v["by"], v["panel"], round(v["strength"], 4)): v for v in middle.values("accuracy")}
    checked = 0
    for line in made.lines:
        if line.ball and line.ball.level == "pixels" and line.model.data_size == 1000:
            value = found[line.model.full_head, line.model.device, round(line.epsilon, 4)]
            assert value["mean"] == pytest.approx(line.worst.mean, abs=0.05)
            assert (value["low"], value["high"]) == pytest.approx((line.worst.low, line.worst.high), abs=0.05)
            assert found[line.model.full_head, line.model.device, 0]["mean"] == pytest.approx(line.clean.mean, abs=0.05)
            checked += 1
    assert checked == 18  # four heads, two of them on two devices, three epsilons
    middle.page.evaluate("report.filters.set('attack', new Set(['FGSM', 'Noise'])); report.apply()")
    middle.page.evaluate(SETTLE)
    line = next(line for line in made.lines if line.model.head == "vqc1" and line.epsilon == 0.15)
    left = {attack.name: value.mean for attack, value in line.attacks.items()}
    found = {(v["by"], v["panel"], round(v["strength"], 4)): v["mean"] for v in middle.values("accuracy")}
    assert found["vqc1", "default.qubit", 0.15] == pytest.approx(left["fgsm"], abs=0.05)
    assert left["fgsm"] > left["pgd"] + 1


def test_one_flagged_seed_marks_a_value(chromium, tmp_path):
    """As in the tables, and whether it is the first one or the last; the worst case waits for a seed of which all is flagged."""
    alone = {0: "vqc1", 2: "vqc6"}
    rows = [make_row("clean", 0.0, seed=seed, head=head) for seed in (0, 1, 2) for head in alone.values()]
    for seed, head in alone.items():
        for its in (0, 1, 2):
            rows += [make_row("fgsm", e, seed=its, head=head, robust=60 + 90 * (its == seed) * (e > 0.1)) for e in (0.05, 0.15)]
            rows += [make_row("pgd", e, seed=its, head=head, robust=20) for e in (0.05, 0.15)]
    made = report.Report.of(as_frame(rows))
    path = tmp_path / "flags.html"
    path.write_text(report.page(made, [], {}, "flags"))
    opened = Opened(chromium, path)
    opened.page.select_option("[data-choice=epsilon]", "0.15")
    opened.page.evaluate(SETTLE)
    marks = {(of["line"], of["attack"]): (of["said"][-1], of["doubted"]) for of in opened.values("heat")}
    for line in (line for line in made.lines if line.ball and line.ball.epsilon == 0.15):
        for attack, value in line.attacks.items():
            mark, told = marks[line.model.full_head, attack.text]
            assert (mark == "!") == bool(value.flags)
            assert told == ("1 of 3" if value.flags else "no")
    assert [key for key, (mark, _) in marks.items() if mark == "!"] == [("vqc1", "FGSM"), ("vqc6", "FGSM")]
    opened.close()


def test_the_address_keeps_what_is_chosen(chromium, pages):
    opened = Opened(chromium, pages["middle"], address="#?head=vqc1&attack=PGD&chart.by=device&chart.none=1&nothing=1&seed=99")
    assert opened.shown() == rows_of(opened.page, head="vqc1", attack="PGD")
    assert opened.page.input_value("[data-choice=by]") == "device"
    assert "nothing" not in opened.page.url
    assert "none" not in opened.page.url
    opened.close()


def test_a_chart_s_choice_is_no_filter_of_the_column_of_that_name(chromium, pages):
    opened = Opened(chromium, pages["middle"])
    everything = opened.shown()
    usual = opened.page.input_value("[data-choice=epsilon]")
    others = opened.page.eval_on_selector_all("[data-choice=epsilon] option", "all => all.map(one => one.value)")
    other = next(value for value in others if value != usual)
    opened.page.select_option("[data-choice=epsilon]", other)
    opened.page.evaluate(SETTLE)
    address = "#" + opened.page.url.partition("#")[2]
    opened.close()
    again = Opened(chromium, pages["middle"], address=address)
    assert again.page.input_value("[data-choice=epsilon]") == other
    assert again.shown() == everything
    again.close()
    both = Opened(chromium, pages["middle"], address=f"{address}&epsilon={usual}")
    assert both.page.input_value("[data-choice=epsilon]") == other
    assert both.shown() == rows_of(both.page, epsilon=usual) < everything
    assert f"epsilon={usual}" in both.page.url
    both.close()


def test_every_chart_and_table_can_be_saved(middle):
    page = middle.page
    charts = page.evaluate("[...report.drawn.keys()]")
    assert set(charts) == {"accuracy", "heat", "clean", "devices", "cost", "levels", "certificate", "training", "transfer"}
    for kind in ("PNG", "SVG"):
        with page.expect_download() as waiting:
            page.click(f"#chart-heat .tools button >> text={kind}")
        content = Path(waiting.value.path()).read_bytes()
        assert content.startswith(b"\x89PNG" if kind == "PNG" else b"<svg")
    for table, lines in (("#results", middle.shown()), ("#models", None)):
        with page.expect_download() as waiting:
            page.click(f"{table} .buttons-csv")
        text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
        assert lines is None or len(text.strip().splitlines()) == lines + 1
        assert "default.qubit" in text


def contrasts(page, chart):
    """The WCAG contrast of each number of a map with the field under it, by the colours that are drawn."""
    drawn = page.evaluate(
        "name => { const all = which => [...document.querySelectorAll(`#chart-${name} svg .role-mark${which}`)]"
        ".map(of => [getComputedStyle(of).fill, of.getBoundingClientRect()]);"
        "return all('.mark-text text').map(([ink, at]) => [ink, ...all('.mark-rect path').filter(([, field]) =>"
        " Math.abs((field.left + field.right - at.left - at.right) / 2) < 3 && field.top < at.bottom && at.top < field.bottom"
        " && Math.abs((field.top + field.bottom - at.top - at.bottom) / 2) < 6).map(([colour]) => colour)]); }",
        chart,
    )
    assert {len(colours) for colours in drawn} == {2}  # each number is on one field
    return [_contrast(*colours) for colours in drawn]


def _contrast(*colours):
    channels = [[int(value) / 255 for value in re.findall(r"\d+", colour)[:3]] for colour in colours]
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in its] for its in channels]
    dark, light = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_of_a_map_can_be_read(chromium, tmp_path, scheme):
    """One of each percent, and the same as transfers."""
    rows = [make_row(f"a{k % 10}", 0.05, head=f"sim{k // 10 + 1}", clean=200, robust=2 * k) for k in range(101)]
    heads = [row for row in rows if row["attack"] == "a0"]
    rows += [transferred(judge, found, 20 * i, "a0") for i, judge in enumerate(heads) for found in heads if judge is not found]
    path = tmp_path / "shades.html"
    path.write_text(report.page(report.Report.of(as_frame(rows)), [], {}, "shades"))
    opened = Opened(chromium, path, color_scheme=scheme)
    for chart, value in (("heat", "mean"), ("transfer", "robust")):
        found = contrasts(opened.page, chart)
        assert len(found) == len(opened.values(chart)) > 100
        assert {round(of[value], -1) for of in opened.values(chart)} == set(range(0, 101, 10))
        assert min(found) >= 4.5
    opened.close()


def test_charts_say_what_they_show_whatever_is_filtered(middle):
    def said():
        labels = "[...document.querySelectorAll('figure[id^=chart-]')].map(of => of.querySelector('.drawing').ariaLabel)"
        return dict(label.split(": ", 1) for label in middle.page.evaluate(labels))

    def fields(head):
        middle.page.evaluate("name => { report.filters.set('head', new Set([name])); return report.apply(); }", head)
        return f"{len(middle.values('heat'))} fields at epsilon {middle.page.input_value('[data-choice=epsilon]')}, pixels, L∞"

    first = said()
    assert len(first) == 9
    assert first["Accuracy against epsilon"] == "4 curves in 2 panels"
    told = fields("vqc6")
    assert said()["Head against attack"] == told != first["Head against attack"]
    told = fields("linear")
    assert said()["Head against attack"] == told
    assert said()["Device against device"].startswith("0 points")  # nothing is drawn there
    middle.page.evaluate("report.filters.clear(); report.apply()")
    middle.page.evaluate(SETTLE)
    assert said() == first


def test_an_unfinished_sweep_says_so_in_every_section(chromium, pages, tmp_path):
    rows, told = small_rows(), "Unfinished: 9 of 65 cells, 56 to come."
    path = tmp_path / "unfinished.html"
    path.write_text(report.page(report.Report.of(as_frame(rows), 65), ["<p>an image</p>"], {}, "unfinished"))
    opened = Opened(chromium, path)
    assert opened.page.inner_text("#chosen b") == "9 of 65 cells, 56 to come"
    opened.page.evaluate("report.filters.set('attack', new Set(['FGSM'])); report.apply()")
    assert opened.page.inner_text("#chosen b") == "2 of 65 cells, 56 to come"
    opened.page.emulate_media(media="print")
    assert opened.page.is_visible("#chosen b")
    for section in ("models", "audit", "images"):
        assert opened.page.is_visible(f"#{section} > .unfinished")
        assert opened.page.inner_text(f"#{section} > .unfinished") == told
    opened.close()
    finished = Opened(chromium, pages["small"])
    assert finished.page.inner_text("#chosen b") == "9 of 9 cells"
    assert finished.page.locator(".unfinished").count() == 0
    finished.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, pages, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    opened = Opened(chromium, pages["middle"], color_scheme=scheme)
    opened.page.evaluate("for (const one of document.querySelectorAll('details:not(.filter)')) one.open = true")
    found = axe.Axe().run(opened.page).response["violations"]
    serious = {
        of["id"]: [node["html"][:160] for node in of["nodes"]][:3] for of in found if of["impact"] in ("serious", "critical")
    }
    assert serious == {}
    opened.close()


CUT = """() => [...document.querySelectorAll('.drawing svg text')].filter(of => {
  const [text, frame] = [of, of.ownerSVGElement].map(one => one.getBoundingClientRect());
  const inside = text.left > frame.left - 1 && text.right < frame.right + 1
    && text.top > frame.top - 1 && text.bottom < frame.bottom + 1;
  return of.textContent && of.getAttribute('opacity') !== '0' && !inside;
}).map(of => `${of.closest('figure').id}: ${of.textContent}`)"""
WIDE = """() => [...document.querySelectorAll('.drawing')].filter(of => of.scrollWidth > of.clientWidth)
  .map(of => of.closest('figure').id)"""


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """A report whose devices, heads and attacks have options: in sentences, tables, legends and headers of maps."""
    folder = tmp_path_factory.mktemp("long")
    devices = [f"qiskit.aer[fake_jakarta,idle,noise_scale={n},mitigation=readout+zne(1/1.5/2),shots=4096]" for n in (1, 2, 3)]
    hidden = [{"head": "mlp", "model_options": json.dumps({"model.hidden": size})} for size in (5, 512)]
    trained = {"head": "vqc6", "train_device": devices[0]}
    models = [{"head": "vqc1", "device": device} for device in devices] + hidden + [trained]
    told = [("noise", 0.0, 160), ("pgd", 0.05, 60), ("pgd", 0.15, 20), ("AutoAttack, of many parts", 0.05, 55)]
    grid = [(model, seed, one) for model in models for seed in (0, 1) for one in told]
    rows = write_examples(folder, [make_row(a, e, robust=right, seed=seed, **model) for model, seed, (a, e, right) in grid])
    made = report.Report.of(as_frame(rows))
    pictures = report.strips(report.kept(made, folder), lambda name: folder / "figures" / f"{name}.png")
    path = folder / "report.html"
    keys = list(dict.fromkeys(row["model_key"] for row in rows))
    path.write_text(report.page(made, pictures, {}, "long", "name: long\n", curves(made, histories(keys, epochs=30))))
    return path


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["middle", "long"])
def test_no_page_goes_sideways_and_no_chart_cuts_its_texts(chromium, pages, long_names, width, name):
    opened = Opened(chromium, long_names if name == "long" else pages[name], viewport={"width": width, "height": 844})
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for panels in ("", "head"):
        page.select_option("[data-choice=panels]", panels)
        page.evaluate(SETTLE)
        assert page.evaluate(CUT) == []
        assert page.evaluate(WIDE) == []
    opened.close()


def test_a_laptop_shows_the_flags_of_the_models(chromium, tmp_path):
    told = [
        (a, e, 150 - 400 * e + 90 * (a == "fgsm" and e > 0.1)) for a in ("fgsm", "deepfool", "pgd", "noise") for e in (0.05, 0.15)
    ]
    rows = [make_row(a, e, robust=round(right), seed=seed, head="tanh") for a, e, right in told for seed in (0, 1)]
    path = tmp_path / "flags.html"
    path.write_text(report.page(report.Report.of(as_frame(rows)), [], {}, "flags"))
    opened = Opened(chromium, path, viewport={"width": 1280, "height": 720})
    assert opened.page.evaluate("document.querySelector('#models .flags').getBoundingClientRect().right") <= 1280
    opened.close()


def test_print_cuts_no_column(chromium, pages):
    opened = Opened(chromium, pages["middle"], viewport={"width": 1032, "height": 730})  # A4, landscape, without its margins
    opened.page.emulate_media(media="print")
    wide = opened.page.evaluate(
        "[...document.querySelectorAll('table')].filter(one => one.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert wide == 0
    opened.close()


def colours(page, chart):
    return page.evaluate(
        "name => [...new Set([...document.querySelectorAll(`#chart-${name} svg *`)].flatMap(of => [of.getAttribute('fill'),"
        " of.getAttribute('stroke')]))].sort().join(' ')",
        chart,
    )


@pytest.mark.parametrize("event", ["beforeprint", "media"])
def test_paper_is_light_and_has_all_lines(chromium, pages, event):
    """Whatever the screen is, and at once: a browser does not wait before it prints."""
    light, opened = (Opened(chromium, pages["middle"], color_scheme=scheme) for scheme in ("light", "dark"))
    page, names = opened.page, ("cost", "training", "accuracy", "heat", "clean", "levels")
    expected, before = ([colours(of, name) for name in names] for of in (light.page, page))
    lines = page.locator("#cells tbody tr").count
    assert (lines(), before != expected) == (25, True)
    if event == "media":
        page.emulate_media(media="print", color_scheme="dark")
        page.wait_for_selector("html:not(.dark)")  # the browser tells of another medium with its next frame
    else:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert [colours(page, name) for name in names] == expected
    assert lines() == opened.shown() <= 500
    if event == "media":
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.emulate_media(media="screen", color_scheme="dark")
        page.wait_for_selector("html.dark")
    else:
        page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.evaluate(SETTLE)
    assert ([colours(page, name) for name in names], lines()) == (before, 25)
    light.close()
    opened.close()


def test_few_rows(chromium, pages):
    opened = Opened(chromium, pages["small"])
    assert opened.shown() == 9
    assert opened.page.inner_text("h1") == "small"
    opened.close()


def test_ten_thousand_rows_answer_at_once(chromium, pages):
    assert pages["large"].stat().st_size < 5_000_000
    opened = Opened(chromium, pages["large"])
    assert opened.shown() == len(large_rows()) > 9_500
    before = opened.page.evaluate("({...report.counted})")
    took = opened.page.evaluate(
        "async () => { const start = performance.now(); report.filters.set('head', new Set(['vqc3', 'vqc5']));"
        "const drawn = report.apply(); const table = performance.now() - start; await drawn; return table; }"
    )
    after = opened.page.evaluate("({...report.counted})")
    assert opened.shown() == rows_of(opened.page, head="vqc3") + rows_of(opened.page, head="vqc5")
    charts = opened.page.locator("figure[id^=chart-]").count()
    assert after["draws"] - before["draws"] == charts  # each chart once
    assert after["embeds"] - before["embeds"] <= 2  # what keeps its shape gets new values, no new view
    assert opened.page.locator("#cells tbody tr").count() == 25
    assert took < 1000 * SLOWNESS
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    (note,) = opened.page.locator("#results .note").all_inner_texts()
    assert note == f"On paper: 25 of {opened.shown():,} lines; all are in rows.csv, beside this page."
    opened.close()


SLOWNESS = 3  # of a machine that runs other tests beside this one
