"""The README's commands are commands we have, and its snippets are valid; the slow end-to-end test runs them."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from mobile_seg.data.description import KEYS

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
OURS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("mobile-seg ")]


def test_there_are_blocks_of_each_kind():
    assert {kind for kind, _ in BLOCKS} == {"sh", "yaml", "python"}
    assert len(OURS) >= 5


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets_exist(line):
    target = shlex.split(line, comments=True)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_command_is_ours_or_make():
    assert all(line.startswith(("make ", "mobile-seg ")) for line in COMMANDS)


@pytest.mark.parametrize("arguments", OURS, ids=" ".join)
def test_commands_parse(arguments):
    from mobile_seg.cli.main import _parse

    assert _parse(arguments) is not None


def test_the_yaml_has_known_keys():
    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    described = yaml.safe_load(text)
    offered = re.findall(r"^# (\w+):", text, re.MULTILINE)
    assert set(described) <= set(KEYS)
    assert set(offered) <= set(KEYS)


def test_the_python_names_exist():
    import mobile_seg

    used = set()
    for text in (text for kind, text in BLOCKS if kind == "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mobile_seg":
                used.add(node.attr)
            if isinstance(node, ast.ImportFrom) and node.module == "mobile_seg":
                used |= {alias.name for alias in node.names}
    assert used <= set(mobile_seg.__all__)
    assert used
