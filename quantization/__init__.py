"""Quantization-aware training for functional Keras 3 models, and post-training quantization as its zero-step case."""
