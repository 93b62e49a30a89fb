"""What a model file says of itself: any `.tflite`, `.onnx`, `.mlpackage` or `.keras`, ours or not."""
