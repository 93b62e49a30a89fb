"""Training: losses, the recipe, the loop and its checkpoints. Runs on Keras' TensorFlow or JAX backend."""
