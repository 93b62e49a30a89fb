"""The top of the page: the run in one sentence and its headline numbers."""

from mobile_seg.report.checks import STAGES
from mobile_seg.report.markup import Quote, amount, bytes_, decibel, escape, milliseconds, percent, points, whole
from mobile_seg.report.results import Latency, Results


def fastest(latency: Latency) -> str:
    """Return the thread count whose stages' medians add up to the least."""
    return min(latency, key=lambda threads: sum(latency[threads].values()))


def total_key(prefix: str, threads: str) -> str:
    """Return the key of the sum of the stages' medians."""
    return " + ".join(f"{prefix}.{threads}.{stage}" for stage in STAGES)


def verdict(results: Results, quote: Quote) -> str:
    """Return the run in one sentence."""
    threads = fastest(results.latency_ms)
    host = "this host\N{RIGHT SINGLE QUOTATION MARK}s CPU"
    kept, before = quote("miou.int8", _bare), quote("miou.float", _bare)
    if results.miou["int8"] <= results.miou["float"]:
        accuracy = f"int8 keeps <b>{kept} of {before}</b> mIoU points"
    else:
        accuracy = f"int8 reaches <b>{kept}</b> mIoU points, float {before}"
    return (
        f"{accuracy}, runs in <b>{quote(total_key('latency_ms', threads), milliseconds)}\N{NO-BREAK SPACE}ms</b> on "
        f"{threads_text(threads)} of {host}, weighs <b>{quote('size_bytes', bytes_)}</b> "
        f"and has {_float_operations(results, quote)} inside."
    )


def tiles(results: Results, quote: Quote) -> str:
    """Return the headline numbers, each with what it is measured against."""
    threads = fastest(results.latency_ms)
    drop = quote("miou.int8 - miou.float", points)
    entries = [
        ("mIoU, int8", quote("miou.int8", percent), f"{drop} points against float, {quote('miou.float', percent)}"),
        (
            "Agreement with QAT",
            quote("agreement.int8_vs_qat", percent),
            "of pixels get the same class" + _psnr(results, quote),
        ),
        (
            "Latency",
            f"{quote(total_key('latency_ms', threads), milliseconds)} <small>ms</small>",
            f"{threads_text(threads)}; inference alone {quote(f'latency_ms.{threads}.infer', milliseconds)} ms",
        ),
        ("Size", quote("size_bytes", bytes_), f"{quote('params', amount)} parameters"),
        ("Float operations", quote("float_ops", whole), "inside the int8 graph"),
        ("XNNPACK partitions", quote("partitions", whole), "of the graph on this host; fewer are better"),
    ]
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="figure">{value}</dd><dd class="note">{note}</dd></div>'
        for name, value, note in entries
    )
    return f'<dl class="tiles">{cells}</dl>'


def facts(results: Results, quote: Quote) -> str:
    """Return what was built, in a line."""
    height, width = results.input_size
    parts = [
        f"input {height}\N{MULTIPLICATION SIGN}{width}",
        f"output stride {results.output_stride}",
        f"{len(results.classes)} classes",
        f"{quote('params', amount)} parameters",
        f"{quote('macs', amount)} MACs",
        f"peak memory {quote('peak_memory_bytes', bytes_)}",
    ]
    return "".join(f"<li>{part}</li>" for part in parts)


def threads_text(threads: str) -> str:
    """2 → `2 threads`."""
    return f"{threads}\N{NO-BREAK SPACE}thread{'' if threads == '1' else 's'}"


def _psnr(results: Results, quote: Quote) -> str:
    """The PSNR of logits; none where the artifact gives class ids, or every logit is the same."""
    return "" if results.psnr_db is None else f"; PSNR {quote('psnr_db', decibel)}"


def _float_operations(results: Results, quote: Quote) -> str:
    if results.float_ops == 0:
        return "<b>no float operation</b>"
    return f"<b>{quote('float_ops', whole)} float operation{'s' if results.float_ops > 1 else ''}</b>"


def _bare(fraction: float) -> str:
    return f"{100.0 * fraction:.2f}"
