"""What runs a model on a device and times it. One file each, one interface."""
