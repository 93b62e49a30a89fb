"""Core ML packages, evaluated from their files: Core ML itself runs on Apple systems only."""
