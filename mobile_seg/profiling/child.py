"""Asks a worker process, which runs native code and may crash without harm to whoever asks."""

import json
import subprocess
from typing import Any

from mobile_seg.child_process import MODULE, ending
from mobile_seg.errors import ProfileError

SECONDS = 1800.0
"""How long one request may take; a slow network at many runs stays well below."""


def ask(request: dict[str, Any], *, worker: str, what: str) -> dict[str, Any]:
    """Send one request to a fresh process of the module `worker`, and return its answer.

    Raises:
        ProfileError: if it fails, crashes, hangs or answers nothing, with the last words that are no log line.
    """
    try:
        child = subprocess.run(
            [*MODULE, worker],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ProfileError(f"{what} took longer than {SECONDS:.0f} s and was ended; ask for fewer runs") from None
    said = child.stdout.strip().splitlines()
    if child.returncode == 0 and said:
        answer: dict[str, Any] = json.loads(said[-1])
        return answer
    words = [line for line in child.stderr.strip().splitlines() if not line.startswith(("INFO", "WARNING", "VERBOSE"))]
    raise ProfileError(f"{what} failed ({ending(child.returncode)}): {words[-1] if words else 'it said nothing'}")
