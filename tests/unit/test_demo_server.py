"""The demo's server: what it gives, to whom, and that it gives nothing else."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg import demo_server, web_page
from mobile_seg.demo_server import HOST, open_server, site
from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError


class Answer(NamedTuple):
    """What the server sent."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks as if npm had installed LiteRT.js into it."""
    folder = tmp_path_factory.mktemp("packages")
    for name, version in json.loads((web_page.page_folder() / "package.json").read_text())["dependencies"].items():
        package = folder / "node_modules" / name
        (package / "dist").mkdir(parents=True)
        (package / "wasm").mkdir()
        (package / "package.json").write_text(json.dumps({"version": version}))
        (package / "dist" / "index.js").write_text("export {};")
        (package / "wasm" / "litert.wasm").write_bytes(b"\0asm")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    folder.mkdir()
    tiny.save(folder, tiny.INT8, "small.tflite")
    return folder.parent


@pytest.fixture(scope="module")
def ask(run: Path, packages: Path) -> Iterator[Ask]:
    """Send one request as it is written, and read the answer."""
    with open_server(site(run, packages=packages)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def send(path: str, method: str = "GET", **headers: str) -> Answer:
            connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=20)
            with contextlib.closing(connection):
                connection.putrequest(method, path, skip_host="Host" in headers)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders()
                answer = connection.getresponse()
                return Answer(answer.status, answer.headers, answer.read())

        yield send
        server.shutdown()
        thread.join()


def test_the_page_and_what_it_loads(ask: Ask) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/index.html?model=x", "text/html"),
        ("/style.css", "text/css"),
        ("/js/app.js", "text/javascript"),
        ("/node_modules/@litertjs/core/dist/index.js", "text/javascript"),
        ("/node_modules/@litertjs/core/wasm/litert.wasm", "application/wasm"),
    ):
        answer = ask(path)
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, kind), path
        assert answer.body


def test_threads_are_allowed(ask: Ask) -> None:
    answer = ask("/")
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_the_models_with_their_manifests(ask: Ask, run: Path) -> None:
    (row,) = json.loads(ask("/models/index.json").body)["models"]
    assert row["manifest"]["classes"] == list(tiny.manifest().classes)
    assert ask(f"/models/{row['file']}").body == (run / "artifacts" / "small.tflite").read_bytes()


def test_samples_are_pictures(ask: Ask) -> None:
    rows = json.loads(ask("/samples/index.json").body)["samples"]
    assert len(rows) == demo_server.SAMPLES
    for row in rows:
        picture = cv2.imdecode(np.frombuffer(ask(f"/samples/{row['file']}").body, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (*demo_server.SAMPLE_SIZE, 3)


@pytest.mark.parametrize(
    "path",
    [
        "/package.json/",
        "/../pyproject.toml",
        "/js/../../pyproject.toml",
        "/js/%2e%2e/%2e%2e/pyproject.toml",
        "/..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/models/",
        "/js",
        "/README.md",
        "/test/browser.mjs",
        "/node_modules/playwright-core/package.json",
        "http://elsewhere/",
        "*",
        "/\x00",
        "/%00",
    ],
)
def test_nothing_else_exists(ask: Ask, path: str) -> None:
    try:
        answer = ask(path)
    except (ValueError, http.client.InvalidURL):  # which no client can send
        return
    assert answer.status in (400, 403, 404), path
    assert b"[project]" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_get_only(ask: Ask, method: str) -> None:
    answer = ask("/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:8", 200), ("127.0.0.1", 200), ("evil.example", 403), ("", 403)]
)
def test_only_by_its_own_name(ask: Ask, host: str, status: int) -> None:
    assert ask("/", Host=host).status == status


def test_a_model_that_went_away_is_not_found(tmp_path: Path, packages: Path) -> None:
    path = tiny.save(tmp_path)
    contents = site(path, packages=packages)
    path.unlink()
    with open_server(contents) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with contextlib.closing(http.client.HTTPConnection(HOST, server.server_address[1], timeout=20)) as connection:
            connection.request("GET", f"/models/{path.name}")
            assert connection.getresponse().status == 404
        thread.join()


def test_without_a_run_there_are_no_models(packages: Path) -> None:
    contents = site(None, packages=packages)
    assert "/models/index.json" not in contents
    assert "/samples/index.json" in contents


def test_pictures_of_ones_own(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "a b.PNG").write_bytes(b"picture")
    contents = site(None, packages=packages, samples=[tmp_path / "a b.PNG"])
    assert contents["/samples/a b.PNG"].read() == b"picture"
    assert contents["/samples/a b.PNG"].kind == "image/png"
    with pytest.raises(UsageError, match=r"a\.tif is not a picture that every browser shows"):
        site(None, packages=packages, samples=[tmp_path / "a.tif"])


def test_a_taken_port_is_said() -> None:
    with open_server({}) as server, pytest.raises(UsageError, match="give another one, or 0"):
        open_server({}, port=server.server_address[1])
    with pytest.raises(UsageError, match="--port 70000 cannot be used"):
        open_server({}, port=70000)


def test_a_missing_package_is_said_with_the_line_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=rf"npm ci --omit=dev --ignore-scripts --prefix {tmp_path}$"):
        site(None, packages=tmp_path)


def test_another_version_of_a_package_is_not_taken(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@litertjs" / "core"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.0.0"}')
    with pytest.raises(MissingExtraError, match=r"@litertjs/core 2\.5\.3, which has 1\.0\.0"):
        site(None, packages=tmp_path)


def test_a_page_without_its_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_page, "page_folder", lambda: tmp_path)
    with pytest.raises(ArtifactError, match=r"index\.html is missing"):
        web_page.page_files()
    monkeypatch.undo()
    monkeypatch.setattr(web_page, "__file__", str(tmp_path / "mobile_seg" / "web_page.py"))
    with pytest.raises(ArtifactError, match="install mobile-seg again"):
        web_page.page_folder()
