"""Downloads from a server on this machine: whole, continued, broken, and refused."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import re
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hqc_ray import data
from hqc_ray.commands import Downloads
from hqc_ray.data.sources.download import MD5, fetch_pcam
from hqc_ray.data.sources.pcam import file_name
from hqc_ray.errors import DataError

X, Y = file_name("valid", "x"), file_name("valid", "y")


class Server(ThreadingHTTPServer):
    """Serves `content` by path; `ranges` is what was asked for; `cut` breaks the connection after so many bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {}
        self.ranges: list[tuple[str, str | None]] = []
        self.cut: int | None = None
        self.knows_ranges = True
        self.url = f"http://127.0.0.1:{self.server_port}/files"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        name = self.path.rsplit("/", 1)[-1]
        server.ranges.append((name, asked))
        body = server.content.get(name)
        if body is None:
            return self.send_error(404)
        start = int(re.findall(r"\d+", asked)[0]) if asked and server.knows_ranges else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:] if server.cut is None else body[start : server.cut])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(pcam_folder):
    folder = pcam_folder(split="valid")
    with Server() as running:
        running.content = {f"{name}.gz": gzip.compress((folder / name).read_bytes()) for name in (X, Y)}
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    """Fetches the split 'valid' from the server, with the checksums of what it serves."""
    checksums = {name[:-3]: hashlib.md5(body, usedforsecurity=False).hexdigest() for name, body in server.content.items()}

    def run(**options):
        return fetch_pcam(tmp_path / "new" / "folder", ["valid"], **{"base_url": server.url, "checksums": checksums, **options})

    return run


def test_downloaded_files_are_read_by_pcam(fetch, pcam_folder):
    files = fetch()
    assert sorted(path.name for path in files[0].parent.iterdir()) == [X, Y]  # nothing temporary is left
    there, here = (data.get("pcam", path=str(folder), split="valid") for folder in (pcam_folder(split="valid"), files[0].parent))
    here.check()
    np.testing.assert_array_equal(here.read(range(14)), there.read(range(14)))


def test_progress_ends_at_the_total(fetch, server):
    calls = []
    fetch(progress=lambda *call: calls.append(call))
    assert calls[-1] == (X, len(server.content[f"{X}.gz"]), len(server.content[f"{X}.gz"]))


def test_the_command_line_shows_what_it_fetches(fetch, server):
    terminals = []
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
        with Downloads(console) as shown:
            for path in fetch(progress=shown):
                path.unlink()
        terminals.append(console.file.getvalue())
    assert all(name in text for name in (X, Y) for text in terminals)
    assert "kB" in terminals[0]
    assert [line.split()[:2] for line in terminals[1].splitlines()] == [["fetching", Y], ["fetching", X]]


def test_what_is_there_is_not_asked_for_again(fetch, server):
    (image_file,) = [path for path in fetch() if path.name == X]
    image_file.unlink()
    server.ranges.clear()
    fetch()
    assert server.ranges == [(f"{X}.gz", None)]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_download_is_continued(fetch, server, knows_ranges):
    server.cut, server.knows_ranges = 5000, knows_ranges
    with pytest.raises(DataError, match=r"broke after 5000 of \d+ bytes; the same command continues"):
        fetch()
    server.cut = None
    server.ranges.clear()
    files = fetch()
    assert server.ranges == [(f"{X}.gz", "bytes=5000-")]
    data.get("pcam", path=str(files[0].parent), split="valid").check()


def test_a_download_that_was_complete_but_not_unpacked(fetch, server, tmp_path):
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    (folder / f"{X}.gz.part").write_bytes(server.content[f"{X}.gz"])
    fetch()
    data.get("pcam", path=str(folder), split="valid").check()


def test_a_wrong_checksum_leaves_no_file(fetch, tmp_path):
    with pytest.raises(DataError, match=r"does not have the MD5 0000.*by hand: curl"):
        fetch(checksums={Y: "0000"})
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_an_archive_that_is_none(fetch, server, tmp_path):
    for content in (b"<html>busy</html>", server.content[f"{Y}.gz"][:-20]):
        server.content[f"{Y}.gz"] = content
        with pytest.raises(DataError, match="is not a gzip file"):
            fetch(checksums={})
        assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_file_that_the_server_lacks(fetch, server):
    del server.content[f"{Y}.gz"]
    with pytest.raises(DataError, match=rf"cannot get {server.url}/{Y}\.gz: HTTP 404.*by hand: curl"):
        fetch()


def test_without_network_it_says_how_to_do_it_by_hand(tmp_path):
    def no_network(request, timeout):
        raise urllib.error.URLError("Name or service not known")

    with pytest.raises(DataError, match=r"Name or service not known.*by hand: curl -LO https://zenodo") as caught:
        fetch_pcam(tmp_path, ["test"], opener=no_network)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Not a directory|File exists"):
        fetch_pcam(tmp_path / "file", ["test"])


def test_wrong_split_or_address(tmp_path):
    with pytest.raises(DataError, match=r"unknown split 'val'; did you mean 'valid'\?"):
        fetch_pcam(tmp_path, ["val"])
    with pytest.raises(DataError, match="base_url: address 'file:///etc'"):
        fetch_pcam(tmp_path, base_url="file:///etc")


def test_checksums_are_those_of_torchvision():
    spec = importlib.util.find_spec("torchvision")  # its text is read: importing it takes seconds
    text = (Path(spec.origin).parent / "datasets" / "pcam.py").read_text()
    theirs = re.findall(r'"(camelyonpatch\w+\.h5)",[^"]*"[^"]+",[^"]*"([0-9a-f]{32})"', text)
    assert len(theirs) == 6
    assert dict(theirs) == MD5
