"""Classifier heads, with the call signature of `base.Head`. `registry` lists them; each has a config and a module."""
