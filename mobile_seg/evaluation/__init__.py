"""How well a model labels images: confusion matrix, IoU, scores over a dataset."""
