"""The parts of the page, from the top down. Each takes the record and returns HTML."""

import json
from collections.abc import Iterator

from mobile_seg.report import charts
from mobile_seg.report.checks import STAGES
from mobile_seg.report.headline import threads_text, total_key
from mobile_seg.report.markup import (
    Quote,
    bytes_,
    colour,
    definitions,
    duration,
    escape,
    milliseconds,
    percent,
    points,
    row,
    table,
    whole,
)
from mobile_seg.report.pictures import swatch
from mobile_seg.report.results import Latency, Results

PHASE_NAMES = {"float": "float", "qat": "QAT", "int8": "int8"}
STAGE_NAMES = {"pre": "pre", "infer": "inference", "post": "post"}


def worst_class(results: Results) -> int | None:
    """Return the index of the class that loses most from float to int8, or None if none loses."""
    ious = results.per_class_iou
    drops = {
        index: after - before
        for index, (before, after) in enumerate(zip(ious["float"], ious["int8"], strict=True))
        if before is not None and after is not None
    }
    worst = min(drops, key=drops.__getitem__, default=None)
    return worst if worst is not None and drops[worst] < 0.0 else None


def accuracy(results: Results, quote: Quote) -> str:
    """Return IoU per class as bars and numbers."""
    worst = worst_class(results)
    rows = []
    for index, name in enumerate(results.classes):
        ious = {phase: results.per_class_iou[phase][index] for phase in PHASE_NAMES}
        head = _charted(swatch(colour(results.palette[index])) + escape(name), charts.class_bars(ious))
        cells = [
            _absent() if iou is None else quote(f"per_class_iou.{phase}.{index}", percent)
            for phase, iou in ious.items()
        ]
        if ious["float"] is None or ious["int8"] is None:
            cells.append(_absent())
        else:
            cells.append(quote(f"per_class_iou.int8.{index} - per_class_iou.float.{index}", points))
        rows.append(row(head, cells, kind="worst" if index == worst else ""))
    means = [quote(f"miou.{phase}", percent) for phase in PHASE_NAMES]
    bars = charts.class_bars({phase: results.miou[phase] for phase in PHASE_NAMES})
    rows.append(row(_charted("mean", bars), [*means, quote("miou.int8 - miou.float", points)], kind="sum"))
    keys = [_key(phase, name) for phase, name in PHASE_NAMES.items()]
    columns = [_charted("class", charts.percent_axis()), *keys, "int8 \N{MINUS SIGN} float"]
    caption = "IoU per class; the change from float to int8 is in points, taken before rounding"
    return table(caption, columns, rows, kind="wide")


def latency(results: Results, quote: Quote) -> str:
    """Return the latency of every artifact that was timed, per thread count."""
    timed = list(_timed(results))
    most = max(sum(stages.values()) for _, _, medians, _ in timed for stages in medians.values())
    rows = []
    for name, prefix, medians, p95 in timed:
        for threads, stages in medians.items():
            bar = charts.stacked_bar({stage: stages[stage] for stage in STAGES}, most=most)
            head = _charted(f'{escape(name)}<span class="quiet">{threads_text(threads)}</span>', bar)
            cells = [_median(quote, prefix, p95, f"{threads}.{stage}") for stage in STAGES]
            rows.append(row(head, [*cells, f"<b>{quote(total_key(f'{prefix}latency_ms', threads), milliseconds)}</b>"]))
    columns = ["artifact", *(_key(stage, name) for stage, name in STAGE_NAMES.items()), "total"]
    caption = (
        "Milliseconds for one image, pre-processing, inference and post-processing apart: "
        "medians, and below them 95th percentiles"
    )
    return table(caption, columns, rows, kind="wide")


def artifacts(results: Results, quote: Quote) -> str:
    """Return the exported files."""
    rows, names = [], []
    for index, artifact in enumerate(results.artifacts):
        key = f"artifacts.{index}"
        cells = {
            "precision": escape(artifact.precision),
            "size": quote(f"{key}.size_bytes", bytes_),
            "mIoU": _unmeasured() if artifact.miou is None else quote(f"{key}.miou", percent),
            "agreement": _unmeasured() if artifact.agreement is None else quote(f"{key}.agreement", percent),
            "partitions": quote(f"{key}.partitions", whole),
            "float ops": quote(f"{key}.float_ops", whole),
            "SHA-256": f'<code title="{escape(artifact.sha256)}">{escape(artifact.sha256[:12])}</code>',
        }
        names = list(cells)
        rows.append(row(f"<code>{escape(artifact.file)}</code>", cells.values(), names=names))
    return table("Agreement is with the Keras model that the file was made from", ["file", *names], rows, kind="plain")


def curves(results: Results) -> str:
    """Return loss and mIoU over the steps of both phases; QAT begins where the float phase ended."""
    rows = {phase: results.history[phase] for phase in ("float", "qat")}
    last = rows["float"][-1]["step"] if rows["float"] else 0
    first = rows["qat"][0]["step"] if rows["qat"] else 0
    start = {"float": 0, "qat": last if first <= last else 0}

    def lines(key: str) -> list[charts.Line]:
        return [
            charts.Line(
                name=PHASE_NAMES[phase],
                kind=phase,
                points=tuple((start[phase] + row["step"], row[key]) for row in rows[phase] if row.get(key) is not None),
            )
            for phase in rows
        ]

    loss = charts.line_chart("Loss", lines("loss"), style=lambda value: f"{value:g}")
    miou = charts.line_chart("mIoU on the validation images", lines("miou"), style=lambda value: f"{100 * value:g}%")
    keys = f'<p class="keys">{_key("float", "float")} {_key("qat", "QAT")} <span>over training steps</span></p>'
    return f'{keys}<div class="charts">{loss}{miou}</div>'


def reproduction(results: Results, quote: Quote) -> str:
    """Return the command, the recipe, the versions, the host and the time each part took."""
    height, width = results.input_size
    named = {"CPU": results.host["cpu"], "system": results.host["os"], **results.versions}
    machine = {"cores": quote("host.cores", whole), **{key: escape(text) for key, text in named.items()}}
    wall = {name.replace("_", " "): quote(f"wall_seconds.{name}", duration) for name in results.wall_seconds}
    recipe = {"input_size": f"[{height}, {width}]", "output_stride": str(results.output_stride)}
    recipe |= {key: escape(_plain(value)) for key, value in results.recipe.items()}
    lists = {"Time taken": wall, "Recipe": recipe, "Host and versions": machine}
    words = " ".join(f"<span>{escape(word)}</span>" for word in results.command.split(" "))
    copy = '<button type="button" data-copies="command" hidden>Copy</button>'
    return f'<div class="command"><pre><code id="command">{words}</code></pre>{copy}</div>' + "".join(
        f'<section class="list"><h3>{title}</h3>{definitions(pairs)}</section>' for title, pairs in lists.items()
    )


def caveats(results: Results) -> str:
    """Return what the numbers do not say."""
    height, width = results.input_size
    absent = [name for name, iou in zip(results.classes, results.per_class_iou["int8"], strict=True) if iou is None]
    notes = [
        f"Accuracy is measured on the validation images of {escape(results.data)} at "
        f"{height}\N{MULTIPLICATION SIGN}{width}, in one run with one seed. "
        "Differences of a few tenths of a point may be chance.",
        "Latency is that of the host CPU named above, one image at a time. It is not phone latency: "
        "measure that on the phone with the demo app.",
        "Partitions are those of the XNNPACK delegate on the host; GPU and NPU delegates divide the graph otherwise.",
        "A total latency is the sum of the medians of its stages; 95th percentiles do not add up.",
    ]
    if absent:
        names = escape(", ".join(absent))
        notes.append(f"In no validation image and never predicted by int8: {names}. The mean leaves such classes out.")
    if results.float_ops:
        notes.append("The int8 graph still holds float operations; integer-only accelerators will refuse them.")
    return "<ul>" + "".join(f"<li>{note}</li>" for note in notes) + "</ul>"


def where(results: Results) -> str:
    """Return the place of measurement, in a sentence."""
    runtime = results.versions.get("ai-edge-litert")
    engine = f"LiteRT {escape(runtime)}" if runtime else "LiteRT"
    return f"{engine} on {escape(results.host['cpu'])}, {results.host['cores']} cores, {escape(results.host['os'])}"


def _timed(results: Results) -> Iterator[tuple[str, str, Latency, Latency | None]]:
    """The int8 artifact first, then the others that were timed: name, key prefix, medians, percentiles."""
    yield "int8", "", results.latency_ms, results.latency_p95_ms
    for index, artifact in enumerate(results.artifacts):
        if artifact.latency_ms is not None and artifact.latency_ms != results.latency_ms:
            yield artifact.precision, f"artifacts.{index}.", artifact.latency_ms, artifact.latency_p95_ms


def _median(quote: Quote, prefix: str, p95: Latency | None, key: str) -> str:
    cell = quote(f"{prefix}latency_ms.{key}", milliseconds)
    if p95 is not None:
        cell += f'<span class="quiet">{quote(f"{prefix}latency_p95_ms.{key}", milliseconds)}</span>'
    return cell


def _key(kind: str, name: str) -> str:
    return f'<span class="key {kind}">{escape(name)}</span>'


def _charted(name: str, chart: str) -> str:
    """A row's head: its name (HTML) with a chart beside it."""
    return f'<div class="charted"><span class="named">{name}</span>{chart}</div>'


def _absent() -> str:
    return '<span class="quiet" title="in neither the truth nor the prediction">absent</span>'


def _unmeasured() -> str:
    return '<span class="quiet">not measured</span>'


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
