"""Each command: what it hands to the API, and what it prints; the API itself is stood in for."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.verify import tiny

from mobile_seg import api, job
from mobile_seg.api import FLOAT_RECIPE, QAT_RECIPE
from mobile_seg.errors import ArtifactError, CheckpointError
from mobile_seg.evaluation.confusion import SegmentationScore
from mobile_seg.measurements import PROFILE_IMAGES
from mobile_seg.profiling.records import HostProfile, StageTimes, ThreadProfile
from mobile_seg.report.results import Results
from mobile_seg.training.recipe import Recipe
from mobile_seg.verify.compare import Agreement

Cli = Callable[..., Any]
Stand = Callable[..., Any]

NETWORK = ["--data", "my data/streets.yaml", "--model", "mobile_spinenet_s49", "--input", "64x96"]


@pytest.fixture
def outcome(record: dict[str, Any], tmp_path: Path) -> job.Outcome:
    folder = tmp_path / "runs" / "toy-1"
    return job.Outcome(folder, folder / "report.html", folder / "results.json", Results.from_dict(record))


def test_run_hands_over_every_option(cli: Cli, stand_in: Stand, tmp_path: Path, outcome: job.Outcome) -> None:
    run = stand_in(job, "run", return_value=outcome)
    words = [
        *("run", *NETWORK, "--steps", "11", "--qat-steps", "3", "--batch", "2", "--lr", "0.3", "--qat-lr", "0.02"),
        *("--seed", "5", "--label-smoothing", "0.1", "--weight-decay", "1e-4", "--output-stride", "16"),
        *("--aspp-rates", "6,12,18", "--aspp-width", "64", "--head-convs", "2", "--activation", "relu"),
        *("--name", "one", "--runs-dir", tmp_path, "--threads", "1,4", "--evaluate-every", "7"),
        *("--optimizer", "adamw", "--clip-norm", "2.5"),
    ]
    ran = cli(*words)
    assert ran.code == 0
    (config,) = run.call_args.args
    shared: dict[str, Any] = {"batch": 2, "seed": 5, "label_smoothing": 0.1, "weight_decay": 1e-4, "clip_norm": 2.5}
    assert config == job.JobConfig(
        data="my data/streets.yaml",
        model="mobile_spinenet_s49",
        input_size=(64, 96),
        name="one",
        folder=str(tmp_path),
        float_recipe=Recipe(steps=11, optimizer="adamw", learning_rate=0.3, **shared),
        qat_recipe=Recipe(steps=3, learning_rate=0.02, **shared),
        options={
            "output_stride": 16,
            "aspp_rates": (6, 12, 18),
            "aspp_width": 64,
            "head_convs": 2,
            "activation": "relu",
        },
        threads=(1, 4),
        evaluate_every=7,
    )
    assert run.call_args.kwargs["resume"] is False
    assert run.call_args.kwargs["command"].startswith("mobile-seg run --data 'my data/streets.yaml' --model")


def test_run_takes_the_jobs_own_defaults(cli: Cli, stand_in: Stand, tmp_path: Path, outcome: job.Outcome) -> None:
    run = stand_in(job, "run", return_value=outcome)
    assert cli("run", *NETWORK, "--runs-dir", tmp_path).code == 0
    (config,) = run.call_args.args
    expected = job.JobConfig(
        data="my data/streets.yaml",
        model="mobile_spinenet_s49",
        input_size=(64, 96),
        name="streets_mobile_spinenet_s49",
        folder=str(tmp_path),
    )
    assert config == expected


def test_run_shows_results_and_the_way_on(cli: Cli, stand_in: Stand, tmp_path: Path, outcome: job.Outcome) -> None:
    stand_in(job, "run", return_value=outcome)
    out = cli("run", *NETWORK, "--runs-dir", tmp_path).out
    lines = [line.split() for line in out.splitlines()]
    assert ["float", "61.54%"] in lines
    assert ["int8", "61.23%"] in lines
    # 0.61 + 24.31 + 1.52 on one thread, 0.63 + 12.155 + 1.49 on two.
    assert ["toy_int8.tflite", "1.91", "MB", "61.23%", "99.48%", "26.4", "ms", "14.3", "ms"] in lines
    assert f"report:  {outcome.report}" in out
    assert f"mobile-seg predict {outcome.folder}/artifacts/toy_int8.tflite" in out
    assert "--data 'my data/streets.yaml'" in out


def test_resume_is_said_when_there_is_nothing_to_resume(
    cli: Cli, stand_in: Stand, tmp_path: Path, outcome: job.Outcome
) -> None:
    run = stand_in(job, "run", return_value=outcome)
    words = ["run", *NETWORK, "--runs-dir", tmp_path, "--name", "one", "--resume"]
    ran = cli(*words)
    assert ran.err == f"nothing to resume in {tmp_path / 'one'}: starting from the beginning\n"
    assert run.call_args.kwargs["resume"] is False
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "float.checkpoint.npz").touch()
    ran = cli(*words)
    assert (ran.err, run.call_args.kwargs["resume"]) == ("", True)


@pytest.mark.parametrize(("command", "phase"), [("run", "qat"), ("train", "float")])
def test_a_training_is_never_overwritten(cli: Cli, stand_in: Stand, tmp_path: Path, command: str, phase: str) -> None:
    run, train = stand_in(job, "run"), stand_in(api, "train")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / f"{phase}.checkpoint.npz").touch()
    ran = cli(command, *NETWORK, "--runs-dir", tmp_path, "--name", "one")
    assert ran.code == 2
    assert "add --resume to go on with it" in ran.err
    assert not run.called
    assert not train.called


def test_quickstart_goes_on_or_starts_anew(cli: Cli, stand_in: Stand, tmp_path: Path, outcome: job.Outcome) -> None:
    config = job.JobConfig(
        data="toy.yaml",
        model="mobile_spinenet_s49",
        input_size=(64, 64),
        name="quickstart",
        folder=str(tmp_path),
    )
    stand_in(job, "quickstart_config", return_value=config)
    run = stand_in(job, "run", return_value=outcome)
    checkpoint = tmp_path / "quickstart" / "float.checkpoint.npz"
    checkpoint.parent.mkdir()

    assert cli("quickstart", "--runs-dir", tmp_path).code == 0
    assert run.call_args.kwargs["resume"] is False
    checkpoint.touch()
    ran = cli("quickstart", "--runs-dir", tmp_path)
    assert run.call_args.kwargs["resume"] is True
    assert "--fresh trains anew" in ran.err
    assert "mobile-seg run --data YOUR_DATASET.yaml" in ran.out
    run.side_effect = CheckpointError("of other settings")
    ran = cli("quickstart", "--runs-dir", tmp_path)
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "error: of other settings. Here: mobile-seg quickstart --fresh")
    run.side_effect = None
    cli("quickstart", "--runs-dir", tmp_path, "--fresh")
    assert run.call_args.kwargs["resume"] is False
    assert not checkpoint.exists()


def test_train(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    train = stand_in(api, "train", return_value=tmp_path / "one" / "model_float.keras")
    ran = cli("train", *NETWORK, "--runs-dir", tmp_path, "--name", "one", "--batch", "4", "--mixed-precision")
    assert ran.code == 0
    assert train.call_args.args == ("my data/streets.yaml",)
    given = train.call_args.kwargs
    assert (given["folder"], given["mixed_precision"], given["options"]) == (tmp_path / "one", True, {})
    assert given["recipe"] == dataclasses.replace(FLOAT_RECIPE, batch=4)
    assert "model_float.keras --data 'my data/streets.yaml'" in ran.out


def test_quantize(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    model = tmp_path / "model_float.keras"
    quantize = stand_in(api, "quantize", return_value=tmp_path / "model_qat.keras")
    assert cli("quantize", model, "--data", "d.yaml").code == 0
    assert quantize.call_args.kwargs["recipe"] == QAT_RECIPE
    assert quantize.call_args.kwargs["folder"] == tmp_path
    ran = cli("quantize", model, "--data", "d.yaml", "--ptq", "--out", tmp_path / "b")
    assert quantize.call_args.kwargs["recipe"] is None
    assert quantize.call_args.kwargs["folder"] == tmp_path / "b"
    assert f"mobile-seg export {tmp_path}/model_qat.keras --data d.yaml" in ran.out


def exported(folder: Path, precision: str) -> api.Exported:
    """An artifact of 2.5 MB."""
    path = folder / f"tiny_{precision}.tflite"
    path.write_bytes(bytes(2_500_000))
    agreement = Agreement(0.99871, None if precision == "int8" else 41.26, None, None, None, pixels=9)
    return api.Exported(path, tiny.manifest(), agreement)


def test_export_shows_each_file_and_what_was_left_out(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    files = tuple(exported(tmp_path, precision) for precision in ("float16", "int8"))
    export = stand_in(api, "export_all", return_value=api.Exports(files, ("onnx has no float16",)))
    model = tmp_path / "model.keras"
    form = ("--to", "tflite,onnx", "--precision", "float16,int8", "--output", "labels", "--input", "64x96")
    ran = cli("export", model, "--data", "d.yaml", *form, "--images", "8", "--force")
    assert ran.code == 0
    given = export.call_args.kwargs
    assert (given["to"], given["precision"]) == (("tflite", "onnx"), ("float16", "int8"))
    assert (given["folder"], given["output"], given["force"]) == (tmp_path / "artifacts", ("labels",), True)
    assert (given["input_size"], given["images"]) == ((64, 96), 8)
    assert "left out: onnx has no float16" in ran.err
    assert [line.split()[1:] for line in ran.out.splitlines()[1:3]] == [
        ["2.50", "MB", "99.87%", "41.3", "dB", "0"],
        ["2.50", "MB", "99.87%", "–", "0"],
    ]
    cli("export", model, "--data", "d.yaml", "--out", tmp_path / "there")
    given = export.call_args.kwargs
    assert (given["folder"], given["precision"], given["output"]) == (tmp_path / "there", (None,), ("logits",))
    assert (given["io"], given["force"]) == (("uint8",), False)


SCORE = SegmentationScore(miou=0.5, per_class=(0.25, 0.75, None, 0.5), pixel_accuracy=0.875, pixels=1234)


def test_eval_prints_a_table(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    artifact = tmp_path / "tiny.tflite"
    artifact.write_bytes(tiny.carrying(b"TFL3", tiny.manifest()))
    evaluate = stand_in(api, "evaluate", return_value=SCORE)
    ran = cli("eval", artifact, "--data", "d.yaml")
    assert ran.code == 0
    assert evaluate.call_args.kwargs["split"] == "val"
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[1:5] == [["road", "25.00%"], ["sky", "75.00%"], ["tree", "–"], ["car", "50.00%"]]
    assert ["mean", "50.00%"] in rows


def test_eval_prints_json_and_nothing_else(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    artifact = tmp_path / "tiny.tflite"
    artifact.write_bytes(tiny.carrying(b"TFL3", tiny.manifest()))
    stand_in(api, "evaluate", return_value=SCORE)
    value = json.loads(cli("eval", artifact, "--data", "d.yaml", "--split", "train", "--json").out)
    assert value == {
        "artifact": str(artifact),
        "data": "d.yaml",
        "split": "train",
        "classes": ["road", "sky", "tree", "car"],
        "miou": 0.5,
        "per_class": [0.25, 0.75, None, 0.5],
        "pixel_accuracy": 0.875,
        "pixels": 1234,
    }


def host_profile() -> HostProfile:
    """Three samples of each stage."""
    times = {"pre": StageTimes((1.0, 2.0, 3.0)), "infer": StageTimes((4.0,)), "post": StageTimes((0.5,))}
    by_threads = tuple(
        ThreadProfile(count, **times, init_ms=1.0, first_run_ms=1.0, peak_memory_bytes=7_000_000, processes=2)
        for count in (1, 2)
    )
    return HostProfile("x.tflite", "ab", "Some CPU", 2, 5, 3, 4, (("numpy", "2"),), by_threads)


def test_profile_takes_the_first_images_of_a_folder(cli: Cli, stand_in: Stand, tmp_path: Path) -> None:
    import cv2

    for number, image in enumerate(tiny.images(PROFILE_IMAGES + 1)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
    profile = stand_in(api, "profile", return_value=host_profile())
    ran = cli("profile", "x.tflite", "--images", tmp_path, "--threads", "1,2", "--runs", "3")
    assert ran.code == 0
    given = profile.call_args.kwargs
    assert [image.tolist() for image in given["images"]] == [image.tolist() for image in tiny.images(PROFILE_IMAGES)]
    assert (given["threads"], given["runs"]) == ((1, 2), 3)
    assert ran.out.splitlines()[1].split() == ["1", "2.00", "(2.90)", "4.00", "(4.00)", "0.50", "(0.50)"]
    value = json.loads(cli("profile", "x.tflite", "--images", tmp_path, "--json").out)
    assert value["by_threads"][0]["pre"]["samples_ms"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("words", [("--images", "nowhere"), ("--images", ".")])
def test_profile_without_images(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("profile", "x.tflite", *words)
    assert ran.code == 2
    assert "image" in ran.err


def test_a_failing_command_shows_no_way_on(cli: Cli, stand_in: Stand) -> None:
    stand_in(api, "export_all", side_effect=ArtifactError("no"))
    ran = cli("export", "m.keras", "--data", "d.yaml")
    assert (ran.code, ran.out, ran.err) == (1, "", "error: no\n")
