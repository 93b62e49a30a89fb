"""The delegates' section of the report."""

from mobile_seg.profiling.delegates.check import Check, DelegateCheck, Finding
from mobile_seg.report.delegates import section

FINDING = Finding(
    operations=(("RESIZE_NEAREST_NEIGHBOR", 6),),
    rule="unknown operation",
    reason="XNNPACK has no <b>nearest</b>.",
    detail="",
    fix="Place it last.",
    source="a file",
    layers=tuple(f"b{number}_up" for number in range(6)),
)


def test_a_table_and_what_stays_outside() -> None:
    one = DelegateCheck("xnnpack", "XNNPACK", "the CPU", 10, 4, 3, 200, 150, (FINDING,), ("Older phones differ.",))
    whole = DelegateCheck("gpu", "GPU", "the GPU", 10, 10, 1, 0, 0, (), ())
    html = section(Check("net.tflite", 1, 10, 200, (one, whole)))
    assert "4 of 10" in html
    assert "75.00%" in html
    assert "RESIZE_NEAREST_NEIGHBOR ×6" in html
    assert "b0_up, b1_up, b2_up, b3_up and 2 more" in html
    assert "Older phones differ." in html
    assert "&lt;b&gt;nearest" in html
    assert html.count("<details>") == 1
