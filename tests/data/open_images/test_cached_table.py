"""Tables in the cache, against a server of this machine that cuts, lies and answers with ETags."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from herder.data.download import DownloadConfig
from herder.data.open_images.cached_table import fetch_table
from herder.errors import ConfigError, DataError

DATA = b"".join(b"%06d,a line of the table\n" % i for i in range(5000))
CONFIG = DownloadConfig(allow_private=True, backoff_base_s=0.01, read_timeout_s=1.0, attempts=3)


@dataclass
class Server:
    """What the server does; ``seen`` holds the method's headers of each request and the status of its answer."""

    url: str = ""
    data: bytes = DATA
    etag: str = '"v1"'
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    seen: list[tuple[dict[str, str], int]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = dict(self.headers)
            status, start = 200, 0
            if state.statuses:
                status = state.statuses.pop(0)
            elif asked.get("If-None-Match") == state.etag:
                status = 304
            elif state.ranges and "Range" in asked and asked.get("If-Range") == state.etag:
                status, start = 206, int(asked["Range"].removeprefix("bytes=").rstrip("-"))
                if start >= len(state.data):
                    status = 416
            state.seen.append((asked, status))
            self.send_response(status)
            self.send_header("ETag", state.etag)
            for name, value in state.headers.items():
                self.send_header(name, value)
            body = state.data[start:] if status in (200, 206) else b""
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(state.data) - 1}/{len(state.data)}")
            if "Content-Length" not in state.headers and status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cuts and body:
                self.wfile.write(body[: state.cuts.pop(0)])
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}/v5/boxes.csv"
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def statuses(server: Server) -> list[int]:
    return [status for _, status in server.seen]


def test_fetched_once(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch_table(server.url, tmp_path, CONFIG, progress=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == DATA
    assert path.name.endswith("-boxes.csv")
    assert told[-1] == (len(DATA), len(DATA))
    assert fetch_table(server.url, tmp_path, CONFIG) == path
    assert statuses(server) == [200, 304]
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.json", f"{path.name}.lock"]


def test_a_new_version_takes_the_place_of_the_old(server: Server, tmp_path: Path) -> None:
    fetch_table(server.url, tmp_path, CONFIG)
    server.data, server.etag = b"new,table\n", '"v2"'
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == b"new,table\n"
    assert statuses(server) == [200, 200]


def test_what_was_cut_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts = [10_000, 20_000]
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    assert statuses(server) == [200, 206, 206]
    assert server.seen[1][0]["Range"] == "bytes=10000-"
    assert server.seen[2][0]["Range"] == "bytes=30000-"


def test_the_next_run_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts = [10_000, 1, 1]
    with pytest.raises(DataError, match=r"10,002 of .* bytes came"):
        fetch_table(server.url, tmp_path, CONFIG)
    assert not list(tmp_path.glob("*.csv"))
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    assert server.seen[-1][0]["Range"] == "bytes=10002-"
    assert not list(tmp_path.glob("*.part*"))


def test_a_part_of_another_version_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.cuts = [10_000] * 3
    server.ranges = False
    with pytest.raises(DataError):
        fetch_table(server.url, tmp_path, CONFIG)
    server.data, server.etag, server.ranges = DATA[::-1].strip() + b"\n", '"v2"', True
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == server.data
    assert server.seen[-1][1] == 200


def test_a_weak_etag_is_no_ground_to_go_on(server: Server, tmp_path: Path) -> None:
    server.etag, server.cuts = 'W/"v1"', [10_000]
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    assert all("Range" not in headers for headers, _ in server.seen)


def test_a_part_that_is_too_long_is_given_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [10_000] * 3
    server.ranges = False
    with pytest.raises(DataError):
        fetch_table(server.url, tmp_path, CONFIG)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(DATA + DATA)
    server.ranges = True
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    assert statuses(server)[-2:] == [416, 200]


def test_without_a_network_the_cache_serves(server: Server, tmp_path: Path) -> None:
    path = fetch_table(server.url, tmp_path, CONFIG)
    server.statuses = [503] * 3
    told: list[str] = []
    assert fetch_table(server.url, tmp_path, CONFIG, notice=told.append) == path
    assert "503" in told[0]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("answers", "said"), [([404], "404"), ([410], "410"), ([403], "403"), ([500, 502, 503], "503")]
)
def test_what_the_server_refuses(server: Server, tmp_path: Path, answers: list[int], said: str) -> None:
    server.statuses = list(answers)
    with pytest.raises(DataError, match=said):
        fetch_table(server.url, tmp_path, CONFIG)
    assert len(server.seen) == len(answers)


def test_what_passes_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA


def test_a_page_in_place_of_the_table(server: Server, tmp_path: Path) -> None:
    server.data = b"<!doctype html><title>Sorry</title>"
    with pytest.raises(DataError, match="web page"):
        fetch_table(server.url, tmp_path, CONFIG)
    assert not list(tmp_path.glob("*.csv"))


def test_redirects(server: Server, tmp_path: Path) -> None:
    server.headers, server.statuses = {"Location": "/elsewhere.csv"}, [302]
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    for target, said in (("file:///etc/passwd", "file:"), ("/again", "redirects")):
        server.headers, server.statuses = {"Location": target}, [302] * 9
        with pytest.raises(DataError, match=said):
            fetch_table(server.url + "?b", tmp_path, CONFIG)


def test_this_machine_is_refused_unless_allowed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this machine itself") as caught:
        fetch_table(server.url, tmp_path, DownloadConfig())
    assert "--allow-private" in caught.value.hint
    assert not server.seen


def test_a_digest_that_is_not_its_own(server: Server, tmp_path: Path) -> None:
    server.headers = {"x-goog-hash": "crc32c=AAAAAA==, md5=AAAAAAAAAAAAAAAAAAAAAA=="}
    with pytest.raises(DataError, match="MD5"):
        fetch_table(server.url, tmp_path, CONFIG)
    import base64

    right = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    server.headers = {"x-goog-hash": f"crc32c=AAAAAA==, md5={right}"}
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA


def test_a_damaged_cache_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    path = fetch_table(server.url, tmp_path, CONFIG)
    path.write_bytes(DATA[:100])  # cut on disk
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    path.with_name(f"{path.name}.json").write_text("no JSON")
    assert fetch_table(server.url, tmp_path, CONFIG).read_bytes() == DATA
    facts = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert (facts["size"], facts["etag"]) == (len(DATA), '"v1"')


def test_two_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    found: list[Path] = []
    work = [threading.Thread(target=lambda: found.append(fetch_table(server.url, tmp_path, CONFIG))) for _ in range(3)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(set(found)) == 1
    assert sorted(statuses(server)) == [200, 304, 304]


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError):
        DownloadConfig(attempts=0)
