"""`mobile-seg quantize --engine tfmot`: what goes together, what reaches the engine, what is printed."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_seg import api, tfmot_engine
from mobile_seg.cli import quantize, tfmot
from mobile_seg.tfmot_engine import Measured, TfmotRecord
from mobile_seg.verify.compare import Agreement

Cli = Callable[..., Any]
Stand = Callable[..., Any]

TFMOT = ("quantize", "runs/m.keras", "--data", "d.yaml", "--engine", "tfmot")
AGREEMENT = Agreement(0.9876, 40.0, 0.1, None, None, 1000)
HOST = {"cpu": "a CPU", "cores": 8, "runs": 30, "versions": {}}
FILE = Measured(2_000_000, 900_000, 1000, 505, 0.6123, {"1": 20.0, "2": 12.0})
DENSE = Measured(2_000_000, 1_500_000, 1000, 7, 0.6345, {"1": 19.0, "2": 12.5})
PRUNED = TfmotRecord(
    Path("runs/m_tfmot_pruned.tflite"), "prune", {"sparsity": 0.5}, (), AGREEMENT, HOST, FILE, DENSE
)  # fmt: skip


@pytest.fixture
def engine(stand_in: Stand) -> Any:
    stand_in(api, "quantize")
    return stand_in(tfmot_engine, "quantize_with_tfmot", return_value=PRUNED)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ((), {"recipe": api.QAT_RECIPE, "sparsity": None, "clusters": None}),
        (("--ptq",), {"recipe": None, "sparsity": None, "clusters": None}),
        (("--sparsity", "0.5"), {"recipe": api.QAT_RECIPE, "sparsity": 0.5, "clusters": None}),
        (("--clusters", "16"), {"recipe": api.QAT_RECIPE, "sparsity": None, "clusters": 16}),
    ],
)
def test_what_is_asked_for_reaches_the_engine(
    cli: Cli, engine: Any, words: tuple[str, ...], given: dict[str, Any]
) -> None:
    assert cli(*TFMOT, *words).code == 0
    assert engine.call_args.args == ("runs/m.keras",)
    got = engine.call_args.kwargs
    assert {name: got[name] for name in given} == given
    assert (got["data"], got["folder"]) == ("d.yaml", Path("runs"))
    assert not api.quantize.called  # type: ignore[attr-defined]


def test_the_recipe_s_options_hold_for_it_too(cli: Cli, engine: Any) -> None:
    assert cli(*TFMOT, "--qat-steps", "7", "--qat-lr", "0.2", "--batch", "3", "--seed", "5", "--out", "there").code == 0
    recipe = engine.call_args.kwargs["recipe"]
    assert (recipe.steps, recipe.learning_rate, recipe.batch, recipe.seed) == (7, 0.2, 3, 5)
    assert engine.call_args.kwargs["folder"] == Path("there")


def test_size_score_and_times_are_shown_beside_the_dense_file_s(cli: Cli, engine: Any) -> None:
    ran = cli(*TFMOT, "--sparsity", "0.5")
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0][:5] == ["file", "size", "compressed", "zeros", "mIoU"]
    assert lines[1] == ["m_tfmot_pruned.tflite", "2.00", "MB", "0.90", "MB", "50.50%", "61.23%", "20.00", "12.00"]
    assert lines[2] == ["the", "same,", "dense", "2.00", "MB", "1.50", "MB", "0.70%", "63.45%", "19.00", "12.50"]
    assert "compressed size 0.60, latency 1.05 with 1 thread, 0.96 with 2 threads" in ran.out
    assert "median of 30 runs on a CPU, 8 cores" in ran.out
    assert "98.76% of the pixels as in TF-MOT's own graph" in ran.out
    assert "left in float" not in ran.out
    assert "model: runs/m_tfmot_pruned.tflite" in ran.out
    assert "mobile-seg eval runs/m_tfmot_pruned.tflite --data d.yaml" in ran.out


def test_layers_left_in_float_are_named(cli: Cli, engine: Any) -> None:
    engine.return_value = TfmotRecord(Path("m.tflite"), "qat", {}, ("mul", "odd"), AGREEMENT, HOST, FILE, None)
    ran = cli(*TFMOT)
    assert "TF-MOT left in float: mul, odd" in ran.out
    assert "dense" not in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sparsity", "0.5"), "--sparsity is done by TF-MOT; add --engine tfmot"),
        (("--clusters", "8"), "--clusters is done by TF-MOT; add --engine tfmot"),
        (("--engine", "tensorrt"), "--engine='tensorrt' is not known; choose from mobile-seg, tfmot"),
        (("--engine", "tfmot", "--sparsity", "1"), "--sparsity 1: give a share between 0 and 1"),
        (("--engine", "tfmot", "--sparsity", "0"), "--sparsity 0: give a share between 0 and 1"),
        (("--engine", "tfmot", "--clusters", "1"), "--clusters 1 is too small; give at least 2"),
        (("--engine", "tfmot", "--sparsity", "0.5", "--clusters", "8"), "--sparsity and --clusters exclude each other"),
        (("--engine", "tfmot", "--sparsity", "0.5", "--ptq"), "--sparsity needs training and --ptq does none"),
        (("--engine", "tfmot", "--clusters", "8", "--ptq"), "--clusters needs training and --ptq does none"),
        (("--engine", "tfmot", "--scheme", "w8"), "--engine tfmot takes no --scheme"),
        (("--engine", "tfmot", "--keep", "a=float"), "--engine tfmot takes no --keep"),
        (("--engine", "tfmot", "--calibration", "mse"), "--engine tfmot takes no --calibration"),
        (("--engine", "tfmot", "--ranges", "learned"), "--engine tfmot takes no --ranges"),
        (("--engine", "tfmot", "--freeze-bn", "0.5"), "--engine tfmot takes no --freeze-bn"),
        (("--engine", "tfmot", "--equalize"), "--engine tfmot takes no --equalize"),
        (("--engine", "tfmot", "--correct-bias"), "--engine tfmot takes no --correct-bias"),
        (("--engine", "tfmot", "--analyze"), "--engine tfmot takes no --analyze"),
        (("--engine", "tfmot", "--max-drop", "1"), "--engine tfmot takes no --max-drop"),
        (("--engine", "tfmot", "--evaluate-every", "9"), "--engine tfmot takes no --evaluate-every"),
        (("--engine", "tfmot", "--resume", "--equalize"), "takes no --equalize, --resume: that is"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    cli: Cli, engine: Any, words: tuple[str, ...], said: str
) -> None:
    ran = cli("quantize", "m.keras", "--data", "d.yaml", *words)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not engine.called
    assert not api.quantize.called  # type: ignore[attr-defined]


def test_every_option_either_reaches_tfmot_or_is_refused() -> None:
    parser = argparse.ArgumentParser()
    quantize.add_arguments(parser)
    taken = {"model", "data", "out", "ptq", "engine", "sparsity", "clusters"}
    recipe = {"qat_steps", "qat_lr", "batch", "seed", "label_smoothing", "weight_decay", "clip_norm"}
    assert {action.dest for action in parser._actions} - {"help"} == taken | recipe | set(tfmot.BUILT_IN)


@pytest.mark.parametrize("package", ["tf_keras", "tensorflow_model_optimization"])
def test_without_the_extra_the_install_line_is_all_it_says(
    cli: Cli, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tf_keras", "tensorflow_model_optimization"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    ran = cli("quantize", tmp_path / "m.keras", "--data", "d.yaml", "--engine", "tfmot")
    assert ran.code == 1
    assert ran.err == (
        f'error: the TF-MOT engine needs {package}; install it with: pip install "mobile-seg[tfmot]"\n'
    )  # fmt: skip


def test_what_is_stopped_starts_over(cli: Cli, engine: Any) -> None:
    engine.side_effect = KeyboardInterrupt
    ran = cli(*TFMOT)
    assert ran.code == 130
    assert "keeps no checkpoint; the same command starts over" in ran.err
    assert "--resume" not in ran.err
