"""The web demo's server: on loopback, GET only, and only the files that it was given when it started.

Threads in WebAssembly need shared memory, which browsers give only to a page isolated from other origins: that is
what the COOP and COEP headers say (https://web.dev/articles/coop-coep).
"""

import http.server
import json
import posixpath
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mobile_seg.bundling import FORMAT_VERSION, INDEX, PathLike, find_artifacts, index_of
from mobile_seg.errors import UsageError
from mobile_seg.web_page import package_files, page_files, page_folder

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Names a browser may call it by. Another one is a stranger's page that had its name point here."""

SAMPLES = 6
SAMPLE_SIZE = (384, 512)
SAMPLE_SEED = 23
"""Scenes of a seed that no training set of ours is drawn with."""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
}

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Content:
    """What an address gives: bytes held, or a file read when it is asked for."""

    body: bytes | Path
    kind: str

    def read(self) -> bytes:
        """Return the bytes."""
        return self.body if isinstance(self.body, bytes) else self.body.read_bytes()


Site = dict[str, Content]
"""Address, beginning with a slash → content."""


def site(run: PathLike | None, *, packages: PathLike | None = None, samples: "list[Path] | None" = None) -> Site:
    """Everything the page may ask for.

    `run` gives the models (None: none, they are dropped into the page). `packages` is the folder whose `node_modules`
    holds LiteRT.js (None: the page's own). `samples` are pictures to show (None: street scenes, drawn here).

    Raises:
        MissingExtraError: with the install line, if LiteRT.js is not installed.
        UsageError, ArtifactError: for a run without usable artifacts, or pictures that no browser shows.
    """
    files = page_files() | package_files(Path(packages) if packages else page_folder())
    found = {f"/{name}": _file(path) for name, path in files.items()}
    found["/"] = found["/index.html"]
    if run is not None:
        artifacts = find_artifacts(run)
        found |= {f"/models/{path.name}": _file(path) for path in artifacts}
        found[f"/models/{INDEX}"] = _json(index_of(artifacts))
    pictures = _drawn() if samples is None else {path.name: _picture(path) for path in samples}
    found |= {f"/samples/{name}": picture for name, picture in pictures.items()}
    rows = [{"file": name, "name": Path(name).stem} for name in pictures]
    return found | {f"/samples/{INDEX}": _json({"format_version": FORMAT_VERSION, "samples": rows})}


def open_server(contents: Site, *, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Listen on loopback and return the server, which `serve_forever` starts; 0 takes any free port.

    Raises:
        UsageError: if the port is taken or not allowed.
    """
    handler = type("Handler", (_Handler,), {"contents": contents})
    try:
        return http.server.ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--port {port} cannot be used: {reason}; give another one, or 0 for any free one.") from error


def address(server: http.server.ThreadingHTTPServer) -> str:
    """Where to point the browser."""
    return f"http://{HOST}:{server.server_address[1]}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    contents: ClassVar[Site] = {}
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mobile-seg", ""

    def do_GET(self) -> None:
        if urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname not in NAMES:
            return self._answer(403, b"this server answers on loopback only\n")
        # Looked up, never joined to a folder: what is not in the table does not exist.
        content = self.contents.get(urllib.parse.unquote(self.path.partition("?")[0]))
        if content is None:
            return self._answer(404, b"no such file\n")
        try:
            body = content.read()
        except OSError:
            return self._answer(404, b"the file is no longer there\n")
        return self._answer(200, body, content.kind)

    def _refuse(self) -> None:
        self.close_connection = True  # the request's body is not read
        self._answer(405, b"GET only\n", Allow="GET")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8", **more: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal belongs to whoever started the server."""


def _file(path: Path) -> Content:
    return Content(path, TYPES[posixpath.splitext(path.name)[1].lower()])


def _json(value: Any) -> Content:
    return Content(json.dumps(value).encode("utf-8"), TYPES[".json"])


def _picture(path: Path) -> Content:
    kind = TYPES.get(path.suffix.lower(), "")
    if not kind.startswith("image/") or path.suffix.lower() == ".svg":
        raise UsageError(f"{path} is not a picture that every browser shows; give JPEG, PNG or WebP files.")
    return _file(path)


def _drawn() -> Site:
    """Street scenes of the toy dataset, as JPEG."""
    import cv2

    from mobile_seg.data.toy import draw_scene

    made = {}
    for number in range(SAMPLES):
        pixels = cv2.cvtColor(draw_scene((SAMPLE_SEED, number), SAMPLE_SIZE).image, cv2.COLOR_RGB2BGR)
        made[f"street_{number + 1}.jpg"] = Content(cv2.imencode(".jpg", pixels)[1].tobytes(), TYPES[".jpg"])
    return made
