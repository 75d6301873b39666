"""Backbones: samples to penultimate features (B, d). `registry` lists them; each has a config and a network."""
