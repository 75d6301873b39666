"""Measuring features: the streaming `Meter`, hooks on networks, and `Observer` for other training loops."""
