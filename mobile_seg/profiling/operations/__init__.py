"""Where the time of an inference goes, operation by operation, and how far each is from the machine's limit."""
