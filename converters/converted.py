"""What a conversion gives."""

from dataclasses import dataclass

from mobile_seg.converters.builder import Conversion
from mobile_seg.manifest import Manifest

Content = bytes | dict[str, bytes]
"""An artifact: a file's bytes, or of a package the bytes of each file, by its path inside."""


@dataclass(frozen=True)
class Converted:
    """An artifact with its manifest inside, that manifest, and every conversion between grids in it."""

    content: Content
    manifest: Manifest
    conversions: tuple[Conversion, ...] = ()
