"""What can go wrong, one class per cause.

Every message names the cause and the fix in one line; the command line prints it and exits with
`exit_code` (2: the call was wrong, 1: the call was right and something failed).
"""


class MobileSegError(Exception):
    """Base of every error that mobile-seg raises on purpose."""

    exit_code = 1


class UsageError(MobileSegError):
    """An argument, a key or a name that is not accepted. The message lists what is."""

    exit_code = 2


class MissingExtraError(MobileSegError):
    """An optional package is not installed. The message holds the exact install line."""


class DatasetError(MobileSegError):
    """Files of a dataset that cannot be used as described (missing, corrupt, mismatched)."""


class ArtifactError(MobileSegError):
    """A model file that cannot be read or is not what it should be."""


class UnsupportedLayerError(MobileSegError):
    """A Keras layer that a rewrite has no rule for. The message names the layer and the way out."""


class CheckpointError(MobileSegError):
    """A checkpoint that cannot be resumed from."""


class ParityError(MobileSegError):
    """An artifact whose output differs from the model it was made from by more than the gate allows."""


class ProfileError(MobileSegError):
    """A measurement that could not be taken. Never replaced by a zero."""


class DiskError(MobileSegError):
    """A file that could not be written. What stood under its name before is untouched."""


def choose(argument: str, value: str, accepted: "list[str] | tuple[str, ...]") -> str:
    """Return `value` if it is one of `accepted`.

    Raises:
        UsageError: naming the argument, what arrived, the accepted values and the nearest of them.
    """
    if value in accepted:
        return value
    import difflib

    near = difflib.get_close_matches(value, accepted, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{argument}={value!r} is not known; choose from {', '.join(accepted)}.{hint}")
