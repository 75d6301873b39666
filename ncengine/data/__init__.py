"""Data sets: what is known of them (`facts`, light) and how they are loaded (`loading`, with torch)."""
