"""Runs artifacts over a few images: `python -m mobile_seg.verify.ahead_worker IMAGES COUNT HEIGHT WIDTH CHANNELS`.

IMAGES is a file of bytes. Reads paths of artifacts from standard input, one JSON string a line. Answers on standard
output with lines of JSON: `{"path"}` before it opens one, then for each image `{"path", "dtype", "shape"}` with the
array's bytes behind it; or `{"path", "error", "reason"}` in place of what is left.
"""

import json
import sys
from typing import Any

import numpy as np

from mobile_seg.child_process import own_output
from mobile_seg.errors import MobileSegError
from mobile_seg.verify.runners import open_artifact


def main(shown: str, *shape: str) -> int:
    """Answer until the input ends."""
    # coremltools imports TensorFlow where there is one, for converters: seconds, and half a GiB.
    sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    answers = own_output()

    def say(content: bytes = b"", **answer: Any) -> None:
        answers.write(f"{json.dumps(answer)}\n".encode() + content)
        answers.flush()

    images = np.fromfile(shown, np.uint8).reshape([int(side) for side in shape])
    for line in sys.stdin:
        say(path=(path := json.loads(line)))
        try:
            runner = open_artifact(path)
            for image in images:
                output = np.ascontiguousarray(runner.run(image))
                say(output.tobytes(), path=path, dtype=output.dtype.str, shape=output.shape)
        except MobileSegError as error:
            say(path=path, error=type(error).__name__, reason=str(error))
        except Exception as error:  # a runtime raises whatever its operations raise
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            say(path=path, error="ArtifactError", reason=f"{path} cannot be run: {reason}; convert it again")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
