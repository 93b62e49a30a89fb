"""Converters: a functional Keras model → the bytes of an artifact that a runtime reads correctly."""
