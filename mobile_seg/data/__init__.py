"""Datasets: what they hold, how they are read, augmented and fed to training. Never imports a framework."""
