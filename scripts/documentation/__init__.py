"""The documentation's build: hooks of MkDocs, pages generated from the code, and the theme."""
