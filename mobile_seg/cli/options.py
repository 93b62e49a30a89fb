"""Options that several commands share. Each default is read from where it is defined, for the help too."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from mobile_seg.api import FLOAT_RECIPE, QAT_RECIPE
from mobile_seg.cli import parsing
from mobile_seg.cli.terminal import note
from mobile_seg.converters.options import IO_TYPES, PALETTES, PRECISIONS
from mobile_seg.errors import UsageError
from mobile_seg.manifest import OUTPUT_KINDS
from mobile_seg.models import registry
from mobile_seg.models.entry import SEMANTIC_HEADS
from mobile_seg.training.recipe import OPTIMIZERS, Recipe

_RECIPE = (
    ("batch", parsing.whole_number("--batch"), "images per step"),
    (
        "seed",
        parsing.whole_number("--seed", low=0),
        "seed of the weights and the order of images; the same gives the same model",
    ),
    ("label_smoothing", parsing.number("--label-smoothing", high=1.0), "share of each label spread over all classes"),
    ("weight_decay", parsing.number("--weight-decay"), "strength of the weight decay of convolutions"),
    ("clip_norm", parsing.number("--clip-norm"), "largest norm of all gradients together, 0 for no limit"),
)

_NETWORK = (
    ("head", parsing.one_of("--head", SEMANTIC_HEADS), f"one of {', '.join(SEMANTIC_HEADS)}"),
    ("output_stride", parsing.whole_number("--output-stride"), "stride of the last features: 4, 8 or 16"),
    (
        "aspp_rates",
        parsing.whole_numbers("--aspp-rates", "6,12,18"),
        "dilations of the head's branches, at the output stride",
    ),
    ("aspp_width", parsing.whole_number("--aspp-width"), "channels of the head's branches"),
    ("head_convs", parsing.whole_number("--head-convs", low=0), "further 3x3 convolutions in the head"),
    ("activation", parsing.one_of("--activation", registry.ACTIVATIONS), f"one of {', '.join(registry.ACTIVATIONS)}"),
)


def add_data(parser: argparse._ActionsContainer, *, required: bool = True, what: str = "the dataset's YAML") -> None:
    """`--data`."""
    parser.add_argument("--data", metavar="YAML", required=required, help=what)


def add_network(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--input` and the head's options."""
    parser.add_argument(
        "--model", type=parsing.one_of("--model", registry.names()), required=True, help=", ".join(registry.names())
    )
    parser.add_argument("--input", type=parsing.size, metavar="HxW", required=True, help="input size, such as 256x352")
    group = parser.add_argument_group("network")
    for name, parse, text in _NETWORK:
        _add(group, name, parse, text, default="the network's own")


def network_options(args: argparse.Namespace) -> dict[str, Any]:
    """What of the head's options was given, for `build`."""
    return _given(args, [name for name, _, _ in _NETWORK])


def add_form(parser: argparse.ArgumentParser, *, precision: str, output: str, io: str) -> None:
    """`--precision`, `--output` and `--io`: the form of a run's `.tflite` files, with these defaults."""
    precisions = tuple(one for one in PRECISIONS if one not in PALETTES)
    for name, accepted, parse, text, default in (
        ("precision", precisions, parsing.some_of, "one or several of {}", precision),
        ("output", OUTPUT_KINDS, parsing.one_of, "what the file gives: {}", output),
        ("io", IO_TYPES, parsing.one_of, "what the file takes: {}", io),
    ):
        parser.add_argument(
            f"--{name}",
            type=parse(f"--{name}", accepted),
            default=default,
            help=f"{text.format(', '.join(accepted))} (default: {default})",
        )


def add_recipe(parser: argparse.ArgumentParser, *recipes: Recipe) -> None:
    """`--batch`, `--seed`, …: for each of `recipes`, whose values are the defaults."""
    group = parser.add_argument_group("training")
    for name, parse, text in _RECIPE:
        defaults = list(dict.fromkeys(getattr(recipe, name) for recipe in recipes))
        _add(group, name, parse, text, default=" and ".join(str(value) for value in defaults))


def add_float_phase(parser: argparse.ArgumentParser) -> None:
    """`--steps`, `--lr` and `--optimizer` of the float phase."""
    rates = " and ".join(f"{rate:g} for {name}" for name, rate in OPTIMIZERS.items())
    _add_phase(parser, "", FLOAT_RECIPE, "training", rates=rates)
    parser.add_argument(
        "--optimizer",
        type=parsing.one_of("--optimizer", tuple(OPTIMIZERS)),
        default=FLOAT_RECIPE.optimizer,
        help=f"one of {', '.join(OPTIMIZERS)} (default: %(default)s)",
    )


def add_qat_phase(parser: argparse.ArgumentParser) -> None:
    """`--qat-steps` and `--qat-lr`."""
    _add_phase(parser, "qat-", QAT_RECIPE, "quantization-aware training", rates=f"{QAT_RECIPE.learning_rate:g}")


def _add_phase(parser: argparse.ArgumentParser, prefix: str, recipe: Recipe, what: str, *, rates: str) -> None:
    steps, rate = f"--{prefix}steps", f"--{prefix}lr"
    parser.add_argument(
        steps, type=parsing.whole_number(steps), metavar="N", help=f"steps of {what} (default: {recipe.steps})"
    )
    parser.add_argument(
        rate,
        type=parsing.number(rate),
        metavar="X",
        help=f"peak learning rate of {what} (default: {rates})",
    )


def float_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe of the float phase as asked for."""
    rate = OPTIMIZERS[args.optimizer] if args.lr is None else args.lr
    return _recipe(args, FLOAT_RECIPE, steps=args.steps, optimizer=args.optimizer, learning_rate=rate)


def qat_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe of the quantization-aware phase as asked for."""
    return _recipe(args, QAT_RECIPE, steps=args.qat_steps, learning_rate=args.qat_lr)


def _recipe(args: argparse.Namespace, recipe: Recipe, **phase: Any) -> Recipe:
    given = _given(args, [name for name, _, _ in _RECIPE])
    return dataclasses.replace(recipe, **given, **{name: value for name, value in phase.items() if value is not None})


def add_run_folder(parser: argparse.ArgumentParser, *, runs: str) -> None:
    """`--name` and `--runs-dir`: where the run's folder is."""
    parser.add_argument("--name", type=parsing.run_name, help="name of the run (default: the YAML's and the model's)")
    parser.add_argument("--runs-dir", metavar="DIR", default=runs, help="folder of all runs (default: %(default)s)")


def name_of_run(args: argparse.Namespace) -> str:
    """`--name`, or a name made of the dataset's and the model's."""
    return args.name or f"{Path(args.data).stem}_{args.model}"


def add_schedule(parser: argparse.ArgumentParser, *, evaluate_every: int) -> None:
    """`--evaluate-every` and `--resume`."""
    parser.add_argument(
        "--evaluate-every",
        type=parsing.whole_number("--evaluate-every"),
        metavar="N",
        default=evaluate_every,
        help="steps between two scores on the validation images (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the same settings")


def checked_resume(folder: Path, *, checkpoint: str, resume: bool) -> bool:
    """Whether there is something to resume.

    Raises:
        UsageError: if there is but `resume` was not asked for: it would be overwritten.
    """
    found = any(folder.glob(checkpoint))
    if found and not resume:
        raise UsageError(f"{folder} holds a training already; add --resume to go on with it, or choose another folder.")
    if resume and not found:
        note(f"nothing to resume in {folder}: starting from the beginning")
    return found


def _add(group: argparse._ArgumentGroup, name: str, parse: Any, text: str, *, default: Any) -> None:
    option = f"--{name.replace('_', '-')}"
    group.add_argument(option, type=parse, metavar="X", help=f"{text} (default: {default})")


def _given(args: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}
