"""Data sets: what is known of them (`facts`, light), looking at own files (`settling`), and loading (with torch)."""

from ncengine.data.resolve import settle

__all__ = ["settle"]
