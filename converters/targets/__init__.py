"""Rewrites of a converted .tflite for what will run it: other operations, the same numbers."""
