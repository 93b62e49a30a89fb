"""What an artifact costs: its graph, and its time and memory on this machine."""
