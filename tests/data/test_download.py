"""Downloads from a local server that breaks off, goes on, and lies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from adbench.api.facts import Archive
from adbench.data import download
from adbench.data.download import NoWayError
from adbench.util.errors import DataError

DATA = bytes(range(256)) * 400
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """What the server does, and the first byte of each part that it was asked for."""

    url: str = ""
    data: bytes = DATA
    mark: str = '"1"'
    breaks_after: list[int] = field(default_factory=list)
    says: int | None = None
    status: int = 0
    kind: str = "application/x-tar"
    parts: bool = True
    asked: list[int] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A server on this machine; attempts follow each other at once."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
            same = self.headers.get("If-Range", behaviour.mark) == behaviour.mark
            start = int(wanted) if behaviour.parts and same else 0
            behaviour.asked.append(start)
            if behaviour.status or start >= len(behaviour.data):
                self.send_error(behaviour.status or 416)
                return
            body = behaviour.data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(behaviour.data) - 1}/{len(behaviour.data)}")
            self.send_header("Content-Length", str(len(body) if behaviour.says is None else behaviour.says))
            self.send_header("Content-Type", behaviour.kind)
            self.send_header("ETag", behaviour.mark)
            self.end_headers()
            self.wfile.write(body[: behaviour.breaks_after.pop(0)] if behaviour.breaks_after else body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        behaviour.url = f"http://127.0.0.1:{http.server_address[1]}/set.tar"
        yield behaviour
        http.shutdown()
        thread.join()


def archive(server: Server, **facts) -> Archive:
    return Archive("set.tar", server.url, **{"sha256": SHA256, **facts})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_loaded_once(server, tmp_path):
    """It has its content and nothing lies beside it; a second call asks the server for nothing."""
    seen = []
    path = download.download(archive(server), tmp_path / "new", lambda *what: seen.append(what))
    assert path.read_bytes() == DATA
    assert names(path.parent) == ["set.tar"]
    assert ("download", len(DATA), len(DATA)) in seen
    assert seen[-1] == ("checksum", len(DATA), len(DATA))
    assert download.download(archive(server), tmp_path / "new") == path
    assert server.asked == [0]


def test_a_connection_that_breaks_off_goes_on(server, tmp_path):
    """Each attempt asks for what is missing, in the same call."""
    server.breaks_after = [1000, 50_000]
    assert download.download(archive(server), tmp_path).read_bytes() == DATA
    assert server.asked == [0, 1000, 51_000]


def test_a_later_call_goes_on(server, tmp_path):
    """A download that is given up keeps what has come, says so, and the next call goes on from there."""
    server.breaks_after = [1000, *[0] * download.TRIES]
    with pytest.raises(DataError, match="goes on from there"):
        download.download(archive(server), tmp_path)
    assert (tmp_path / "set.tar.part").stat().st_size == 1000
    server.asked.clear()
    server.breaks_after.clear()
    assert download.download(archive(server), tmp_path).read_bytes() == DATA
    assert server.asked == [1000]


def test_another_version_is_loaded_from_its_start(server, tmp_path):
    """A file that has changed meanwhile is not joined to the rest of the old one."""
    server.breaks_after = [1000, *[0] * download.TRIES]
    with pytest.raises(DataError):
        download.download(archive(server), tmp_path)
    server.mark, server.data = '"2"', DATA[::-1]
    server.breaks_after.clear()
    new = archive(server, sha256=hashlib.sha256(server.data).hexdigest())
    assert download.download(new, tmp_path).read_bytes() == DATA[::-1]


def test_a_server_without_parts_sends_all_again(server, tmp_path):
    """Where the server ignores the wish for a part, the file is written from its start."""
    server.parts, server.breaks_after = False, [1000]
    assert download.download(archive(server), tmp_path).read_bytes() == DATA
    assert server.asked == [0, 0]


def test_a_longer_file_than_there_is_is_given_up(server, tmp_path):
    """A server that announces more than it sends is asked a few times, and not for ever."""
    server.says = len(DATA) + 10
    with pytest.raises((DataError, NoWayError)):
        download.download(archive(server), tmp_path)
    assert len(server.asked) < 3 * download.TRIES
    assert "set.tar" not in names(tmp_path)


def test_a_shorter_file_than_there_is_is_not_the_published_one(server, tmp_path):
    """A server that announces less than the file has gives another content, which is removed."""
    server.says = 1000
    with pytest.raises(DataError, match="not the published file"):
        download.download(archive(server), tmp_path)
    assert not names(tmp_path)
    with pytest.raises(NoWayError, match="1000 bytes where 102400 were wanted"):
        download.download(archive(server, bytes=len(DATA)), tmp_path)


@pytest.mark.parametrize("sums", [{"sha256": "0" * 64}, {"sha256": "", "md5": "0" * 32}])
def test_a_wrong_checksum_leaves_no_file(server, tmp_path, sums):
    """The content is compared before the file gets its name."""
    with pytest.raises(DataError, match="not the published file"):
        download.download(archive(server, **sums), tmp_path)
    assert not names(tmp_path)


def test_another_process_keeps_its_lock(server, tmp_path):
    """A file that another process loads is refused, and that one's lock stays; afterwards none does."""
    with FileLock(tmp_path / "set.tar.lock"):
        with pytest.raises(DataError, match="another process that loads it"):
            download.download(archive(server), tmp_path)
        assert names(tmp_path) == ["set.tar.lock"]
    assert download.download(archive(server), tmp_path).read_bytes() == DATA
    assert names(tmp_path) == ["set.tar"]


def test_a_file_brought_by_hand_is_used_if_it_is_the_published_one(server, tmp_path):
    """The right one is not loaded again; another one is refused and stays."""
    (tmp_path / "set.tar").write_bytes(DATA)
    download.download(archive(server), tmp_path)
    assert server.asked == []
    (tmp_path / "set.tar").write_bytes(b"other")
    with pytest.raises(DataError, match="Remove it"):
        download.download(archive(server), tmp_path)
    assert (tmp_path / "set.tar").read_bytes() == b"other"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_address_that_has_moved_is_no_way(server, tmp_path, status):
    """The caller says then where to get the file by hand; the server is asked once."""
    server.status = status
    with pytest.raises(NoWayError, match=str(status)):
        download.download(archive(server), tmp_path)
    assert len(server.asked) == 1


def test_a_web_page_is_no_archive(server, tmp_path):
    """Addresses that have moved often answer with a page of their own."""
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(NoWayError, match="web page"):
        download.download(archive(server), tmp_path)


def test_no_network_and_no_address_are_no_way(tmp_path, monkeypatch):
    """A port where nobody listens, an empty address, and one of this machine's own files."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    for url in ("http://127.0.0.1:9/set.tar", "", "file:///etc/passwd"):
        with pytest.raises(NoWayError):
            download.download(Archive("set.tar", url), tmp_path)
    assert "set.tar" not in names(tmp_path)


def test_a_full_disk_is_said_before_anything_comes(server, tmp_path, monkeypatch):
    """The length is compared with what is free."""
    monkeypatch.setattr(download.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match="Free some space"):
        download.download(archive(server), tmp_path)
    assert "set.tar.part" not in names(tmp_path)
