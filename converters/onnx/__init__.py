"""ONNX artifacts, written node by node."""
