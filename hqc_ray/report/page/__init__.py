"""One self-contained page with charts that filter together with the table: nothing is fetched, and it can be mailed.

`data.py` writes the rows for the scripts in `assets/`, `parts.py` and `sections.py` what is read without them. Vega-Lite draws,
DataTables sorts and pages; both lie in `assets/` (`bundles.py` made them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from hqc_ray.report.content.training import Curve
from hqc_ray.report.content.view import Report
from hqc_ray.report.page import sections
from hqc_ray.report.page.data import data, script

SCRIPTS = ("state.js", "charts.js", "paper.js", "page.js")  # ours, one module in this order
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"


def page(
    report: Report, pictures: Sequence[str], provenance: Mapping[str, Any], title: str, sweep: str = "",
    training: Sequence[Curve] = (),
) -> str:  # fmt: skip
    """The page's HTML.

    Args:
        report: of the sweep's rows.
        pictures: figures of images (`pictures.strips`).
        provenance: versions, commit, hardware; nested mappings and lists are written out.
        title: of the page.
        sweep: the sweep file.
        training: how its models were trained.
    """
    unfinished = report.unfinished
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}{escape(f' ({unfinished})' if unfinished else '')}</title>"
        f"<style>{_asset('datatables.css')}</style><style>{_asset('page.css')}</style>"
    )
    body = [
        '<a class="skip" href="#results">Skip to the results</a>',
        sections.top(report, title, unfinished, bool(pictures)),
        "<main>",
        *sections.sections(report, pictures, provenance, sweep),
        "</main>",
        f'<script type="application/json" id="data">{script(data(report, training))}</script>',
        f"<script>{_code('vega.js')}</script>",
        f'<script type="module">{_code("datatables.js")}</script>',
        f'<script type="module">{"".join(map(_code, SCRIPTS))}</script>',
    ]
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def _asset(name: str) -> str:
    return (resources.files("hqc_ray.report.page") / "assets" / name).read_text(encoding="utf-8")


def _code(name: str) -> str:
    """A script, in which no text ends it."""
    return _asset(name).replace("</script", "<\\/script").replace("<!--", "<\\!--")
