"""A hook of MkDocs: files of the repository outside docs/ are part of the site, and links to them lead there.

On GitHub a page of docs/ links to `../benchmarks/results.md`, and README.md to `docs/design.md`; on the site docs/ is the root.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*.md",
    "results/README.md",
    "results/controls/table.md",
    "results/errors/table.md",
    "results/mitigation/table.md",
    "results/noise_as_defence/table.md",
    "results/table2_resnet18/table.md",
)
OTHERS = (
    "LICENSE",
    "CITATION.cff",
    "cluster.yaml",
    "cluster/*",
    "sweeps/*.yaml",
    "results/controls/figures/*.png",
    "results/table2_resnet18/figures/*.png",
)
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def _site(path: str) -> str:
    """Where a file of the repository is on the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/."""
    for pattern in (*PAGES, *OTHERS):
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, _site(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a repository's file into those of the site's page."""
    source = Path(page.file.abs_src_path).relative_to(ROOT).as_posix()

    def moved(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        to = _site(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        return f"{before}{posixpath.relpath(to, posixpath.dirname(page.file.src_uri) or '.')}{after}"

    return LINK.sub(moved, markdown)
