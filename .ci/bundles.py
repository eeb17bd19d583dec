"""Makes the libraries of the page anew from the packages that ship them: `python .ci/bundles.py`.

They lie in hqc_ray/report/page/assets and are part of hqc_ray, so that a report needs none of these packages. Vega, Vega-Lite and
Vega-Embed come from vl-convert's offline bundle, DataTables with its extensions from itables'.
"""

from __future__ import annotations

import re
from importlib import metadata, resources
from pathlib import Path

ASSETS = Path(__file__).parent.parent / "hqc_ray" / "report" / "page" / "assets"
GIVEN = "window.vegaEmbed = vegaEmbed; window.vega = vega; window.vegaLite = vegaLite;"  # by the bundle to the page


def main() -> None:
    """Write the libraries and their versions."""
    import vl_convert

    tables = resources.files("itables") / "html"
    module = (tables / "dt_bundle.js").read_text(encoding="utf-8")
    contents = {
        "vega.js": vl_convert.javascript_bundle(GIVEN),
        "datatables.js": re.sub(r"export\{.*?\b(\w+) as default\b.*?\};", r"window.DataTable=\1;", module, count=1),
        "datatables.css": (tables / "dt_bundle.css").read_text(encoding="utf-8"),
        "VERSIONS.txt": _versions(vl_convert),
    }
    for name, content in contents.items():
        (ASSETS / name).write_text(content.strip() + "\n", encoding="utf-8")


def _versions(vl_convert: object) -> str:
    lite = vl_convert.get_vegalite_versions()[-1]  # type: ignore[attr-defined]
    vega, embed = vl_convert.get_vega_version(), vl_convert.get_vega_embed_version()  # type: ignore[attr-defined]
    of = {name: metadata.version(name) for name in ("vl-convert-python", "itables")}
    return (
        f"vega.js: Vega {vega}, Vega-Lite {lite}, Vega-Embed {embed}, from vl-convert-python {of['vl-convert-python']}\n"
        f"datatables.js, datatables.css: from itables {of['itables']}; the versions of its parts stand at its end\n"
    )


if __name__ == "__main__":
    main()
