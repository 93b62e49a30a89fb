"""`mobile-seg predict`: what a model sees, painted over images and videos."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_seg.cli import parsing
from mobile_seg.cli.media import find_media, is_video, reading_video, write_png, write_video
from mobile_seg.cli.terminal import Progress, note, say
from mobile_seg.errors import UsageError

if TYPE_CHECKING:
    from mobile_seg.cli.media import Video
    from mobile_seg.imaging import Image
    from mobile_seg.verify.runners import Runner

OUT = "predictions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", metavar="ARTIFACT", help="a model file: .keras or .tflite")
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="an image, a video, or a folder of them")
    parser.add_argument("--out", metavar="DIR", default=OUT, help="folder of the results (default: %(default)s)")
    parser.add_argument(
        "--opacity",
        type=parsing.number("--opacity", high=1.0),
        metavar="X",
        help="how strong the colours are over the image, 0 to 1 (default: as in reports)",
    )
    parser.add_argument("--labels", action="store_true", help="also write the class ids, as 8-bit PNG")


def run(args: argparse.Namespace) -> int:
    """Write one overlay per source and name them."""
    out = Path(args.out)
    media = find_media(args.sources)
    inside = next((path for path in media if path.parent.resolve() == out.resolve()), None)
    if inside is not None:
        raise UsageError(f"--out {out} is the folder that {inside.name} is read from; choose another.")
    from mobile_seg.verify.runners import open_artifact

    painter = Painter(open_artifact(args.artifact), out, opacity=args.opacity, labels=args.labels)
    written = 0
    with Progress() as progress:
        images = [path for path in media if not is_video(path)]
        for number, path in enumerate(images, start=1):
            written += painter.image(path)
            progress(number, len(images), "painting images")
        for path in filter(is_video, media):
            written += painter.video(path, progress)
    say(f"{written} file{'s' if written != 1 else ''} in {out}:")
    say(*(f"  {painter.overlay_path(path).name}" for path in media[:5]))
    if len(media) > 5:
        say(f"  and {len(media) - 5} more")
    return 0


class Painter:
    """One open model that writes overlays into a folder."""

    def __init__(self, runner: "Runner", out: Path, *, opacity: float | None, labels: bool) -> None:
        self._runner, self._out, self._labels = runner, out, labels
        self._look = {} if opacity is None else {"opacity": opacity}

    def overlay_path(self, source: Path) -> Path:
        """Where the overlay of an image or video goes."""
        return self._out / f"{source.stem}_overlay{'.mp4' if is_video(source) else '.png'}"

    def image(self, source: Path) -> int:
        """Paint an image file and return the number of files written. Raises `DatasetError`, `DiskError`."""
        from mobile_seg.data.readers import read_image

        painted = self._paint(read_image(source), self._out / f"{source.stem}_labels.png")
        write_png(self.overlay_path(source), painted)
        return 1 + self._labels

    def video(self, source: Path, progress: Progress) -> int:
        """Paint a video frame by frame, as `image`; its labels go into a folder, one PNG per frame."""
        with reading_video(source) as video:
            frames = self._frames(source, video, progress)
            count = write_video(self.overlay_path(source), frames, rate=video.rate)
        if count < video.stated:
            note(f"{source}: {count} of the {video.stated} frames that its header states could be decoded")
        return 1 + count * self._labels

    def _frames(self, source: Path, video: "Video", progress: Progress) -> "Iterator[Image]":
        labels = self._out / f"{source.stem}_labels"
        for number, frame in enumerate(video.frames, start=1):
            yield self._paint(frame, labels / f"{number:06d}.png")
            if number <= video.stated:  # a header may state too few frames, or none
                progress(number, video.stated, f"painting {source.name}")

    def _paint(self, image: "Image", labels_path: Path) -> "Image":
        from mobile_seg.imaging import overlay

        labels = self._runner.segment(image)
        if self._labels:
            write_png(labels_path, labels)
        return overlay(image, labels, self._runner.manifest.palette, **self._look)
