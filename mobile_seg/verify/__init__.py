"""Does the artifact give the same numbers? Run it, compare two, and gate."""
