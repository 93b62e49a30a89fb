"""Core ML packages, through coremltools and passes of ours inside its pipeline."""
