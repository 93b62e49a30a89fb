"""The report: one HTML file that needs nothing else, to be read, printed or shown."""

import string
from collections.abc import Sequence
from importlib import resources

from mobile_seg.errors import UsageError
from mobile_seg.report import headline, pictures, sections, sensitivity
from mobile_seg.report.markup import Quote, colour, escape
from mobile_seg.report.pictures import Example
from mobile_seg.report.results import Results
from mobile_seg.report.sensitivity import LayerDamage

__all__ = ["Example", "render"]


def render(results: Results, examples: Sequence[Example], *, layers: tuple[LayerDamage, ...] = ()) -> str:
    """Return the page for one run and some of its predictions.

    The first example is shown large. Every number is quoted from `results`, or from the ranking of `layers`
    if there is one; all text is escaped, and nothing is fetched: styles, script, charts and pictures are inside.

    Raises:
        UsageError: without an example.
    """
    if not examples:
        raise UsageError("render needs at least one example; pass a validation image with its predictions")
    quote = Quote(results)
    colours = [colour(rgb) for rgb in results.palette]
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
        sensitivity=sensitivity.section(layers),
        also=", or from <code>sensitivity.json</code> beside it" if layers else "",
        curves=sections.curves(results),
        reproduction=sections.reproduction(results, quote),
        caveats=sections.caveats(results),
    )


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
