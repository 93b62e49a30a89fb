"""The delegates' section: what each would take of the artifact, what falls back, why, and the fix."""

from mobile_seg.profiling.delegates.check import Check, DelegateCheck, Finding
from mobile_seg.report.markup import escape, percent, row, table

SHOWN = 4
"""Layers named for each finding."""


def section(checked: Check) -> str:
    """Return the section: a table of delegates, and for each what it would not take."""
    names = ("operations", "parts", "multiply-adds", "verdict")
    rows = [row(escape(one.title), _cells(one), names=names) for one in checked.delegates]
    caption = "What each delegate would take of the file, by its published rules; nothing here was measured"
    found = "".join(_findings(one) for one in checked.delegates if one.findings)
    shown = table(caption, ("delegate", *names), rows, kind="plain") + found
    return f'<section id="delegates">\n<h2>Delegates</h2>\n{shown}\n</section>'


def _cells(one: DelegateCheck) -> list[str]:
    share = '<span class="quiet">none</span>' if one.share is None else percent(one.share)
    return [f"{one.taken} of {one.operations}", str(one.partitions), share, escape(one.verdict)]


def _findings(one: DelegateCheck) -> str:
    rows = [row(escape(_kinds(found)), _words(found), names=("where", "reason", "fix")) for found in one.findings]
    notes = "".join(f"<li>{escape(text)}</li>" for text in one.notes)
    inner = table(one.about, ("operations", "where", "reason", "fix"), rows, kind="plain")
    return f"<details><summary>{escape(one.title)}: {escape(one.verdict)}</summary>{inner}<ul>{notes}</ul></details>"


def _words(found: Finding) -> list[str]:
    more = len(found.layers) - SHOWN
    where = ", ".join(found.layers[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return [escape(where), escape(found.reason), escape(found.fix)]


def _kinds(found: Finding) -> str:
    return ", ".join(f"{kind} ×{count}" for kind, count in found.operations)
