"""The command line: one module per command, each parse → call → render; the only place that prints and exits."""
