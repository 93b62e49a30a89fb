"""Sections of pages that scripts rewrite, between `<!-- NAME:start -->` and `<!-- NAME:end -->`."""

from pathlib import Path

from mobile_seg.files import write_text


def rewrite(page: Path, name: str, text: str) -> None:
    """Replace a section of a page, or append it where the page has it not."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(start)
    write_text(page, f"{before.rstrip()}\n\n{start}\n{text}\n{end}{rest.partition(end)[2] or chr(10)}")
