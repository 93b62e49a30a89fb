"""What each delegate would do with a `.tflite` graph, judged offline from the file alone."""
