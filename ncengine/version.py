"""The version of the distribution; in a file of its own, so that any module may say it."""

__version__ = "0.1.0"
