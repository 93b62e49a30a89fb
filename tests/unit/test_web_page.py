"""What the page promises: pinned packages, no other place on the network, no constant about a model."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from mobile_seg.manifest import FORMAT_VERSION, MEMBER, OUTPUT_KINDS
from mobile_seg.web_page import LOADED, page_files

FILES = page_files()
TEXTS = {name: path.read_text("utf-8") for name, path in FILES.items()}
PAGE = TEXTS["index.html"]
SCRIPTS = {name: text for name, text in TEXTS.items() if name.endswith(".js")}


class Tags(HTMLParser):
    """Every start tag with its attributes, and which controls have a label."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], bool]] = []
        self._labels = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._labels += tag == "label"
        self.found.append((tag, dict(attrs), self._labels > 0))

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"


def tags() -> list[tuple[str, dict[str, str | None], bool]]:
    parser = Tags()
    parser.feed(PAGE)
    return parser.found


def test_the_packages_are_pinned_by_version_and_hash() -> None:
    wanted = json.loads(TEXTS["package.json"])
    lock = json.loads(TEXTS["package-lock.json"])["packages"]
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert lock[f"node_modules/{name}"]["version"] == version
    for place, package in lock.items():
        assert not place or package["integrity"].startswith("sha512-"), place
        assert "resolved" not in package or package["resolved"].startswith("https://registry.npmjs.org/"), place
    assert tuple(wanted["dependencies"]) == LOADED


def test_the_policy_lets_the_page_speak_to_its_own_server_only() -> None:
    (policy,) = re.findall(r'content="(default-src[^"]*)"', PAGE)
    directives = dict(line.strip().split(" ", 1) for line in policy.split(";"))
    assert directives["default-src"] == "'self'"
    for name, sources in directives.items():
        assert not re.search(r"https?:|\*", sources), name
    (imports,) = re.findall(r'<script type="importmap">(.*?)</script>', PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in directives["script-src"]
    assert set(json.loads(imports)["imports"]) == set(LOADED)


def test_no_address_elsewhere_is_loaded() -> None:
    for name, text in TEXTS.items():
        if name.endswith((".html", ".css", ".js")):
            assert not re.search(r"""(?:src|href|from|import|url|fetch)[\s(=]*["'`]?\s*(?:https?:)?//\w""", text), name


def test_every_script_that_is_imported_is_there() -> None:
    for name, text in SCRIPTS.items():
        for target in re.findall(r"""from '\./([\w.]+)'""", text):
            assert f"js/{target}" in FILES, f"{name} imports {target}"
        for package in re.findall(r"""from '(@[^']+)'""", text):
            assert package in LOADED


def test_every_element_that_is_looked_up_is_there() -> None:
    ids = {attributes["id"] for _, attributes, _ in tags() if attributes.get("id")}
    looked_up = {
        name for text in SCRIPTS.values() for name in re.findall(r"""(?:find|on|querySelector)\('#([\w-]+)'""", text)
    }
    assert looked_up
    made = set(re.findall(r"""id: .([\w-]+)""", "".join(SCRIPTS.values())))  # by panel.js
    assert looked_up <= ids | made


def test_every_control_has_a_name() -> None:
    for tag, attributes, labelled in tags():
        if tag in ("input", "select"):
            assert labelled or attributes.get("aria-label") or f'for="{attributes.get("id")}"' in PAGE, attributes


def test_the_manifest_is_read_as_it_is_written() -> None:
    text = TEXTS["js/manifest.js"]
    assert f"FORMAT_VERSION = {FORMAT_VERSION};" in text
    assert f"'{MEMBER}'" in text
    (kinds,) = re.findall(r"OUTPUT_KINDS = \[([^\]]*)\]", text)
    assert tuple(re.findall(r"'([^']+)'", kinds)) == OUTPUT_KINDS


def test_modules_and_lines_are_short() -> None:
    for name, text in SCRIPTS.items():
        lines = text.splitlines()
        assert len(lines) <= 300, name
        assert max(map(len, lines)) <= 120, name
