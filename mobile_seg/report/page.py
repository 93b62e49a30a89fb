"""The report: one HTML file that needs nothing else, to be read, printed or shown."""

import string
from collections.abc import Sequence
from importlib import resources

from mobile_seg.errors import UsageError
from mobile_seg.profiling.delegates.check import Check
from mobile_seg.profiling.operations.roofline import Roofline
from mobile_seg.report import delegates, headline, pictures, roofline, sections, sensitivity
from mobile_seg.report.markup import Quote, colour, escape
from mobile_seg.report.pictures import Example
from mobile_seg.report.results import Results
from mobile_seg.report.sensitivity import LayerDamage

__all__ = ["Example", "render"]


BESIDE = {"layers": "sensitivity.json", "operations": "operations.json"}
"""What the page quotes from other files than `results.json`, and their names in a run."""


def render(
    results: Results,
    examples: Sequence[Example],
    *,
    layers: tuple[LayerDamage, ...] = (),
    operations: Roofline | None = None,
    checked: Check | None = None,
) -> str:
    """Return the page for one run and some of its predictions.

    The first example is shown large. Every number is quoted from `results`, or from the ranking of `layers` or the
    times of single `operations` if they are there; `checked` is what delegates would take. All text is escaped, and
    nothing is fetched: styles, script, charts and pictures are inside.

    Raises:
        UsageError: without an example.
    """
    if not examples:
        raise UsageError("render needs at least one example; pass a validation image with its predictions")
    quote = Quote(results)
    colours = [colour(rgb) for rgb in results.palette]
    quoted = [name for key, name in BESIDE.items() if (layers if key == "layers" else operations)]
    return string.Template(_part("page.html")).substitute(
        style=_part("page.css"),
        script=_part("page.js"),
        model=escape(results.model),
        title=escape(results.model).replace("_", "_<wbr>"),
        data=escape(results.data),
        run=escape(results.run),
        created=escape(results.created),
        day=escape(results.created[:10]),
        verdict=headline.verdict(results, quote),
        facts=headline.facts(results, quote),
        hero=pictures.hero(examples[0], results.palette),
        tiles=headline.tiles(results, quote),
        legend=pictures.legend(results.classes, colours),
        gallery=pictures.gallery(examples, results.palette),
        accuracy=sections.accuracy(results, quote),
        latency=sections.latency(results, quote),
        where=sections.where(results),
        artifacts=sections.artifacts(results, quote),
        roofline=roofline.section(operations) if operations else "",
        delegates=delegates.section(checked) if checked else "",
        sensitivity=sensitivity.section(layers),
        also="".join(f", or from <code>{name}</code> beside it" for name in quoted),
        curves=sections.curves(results),
        reproduction=sections.reproduction(results, quote),
        caveats=sections.caveats(results),
    )


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
