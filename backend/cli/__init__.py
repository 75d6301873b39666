"""The command line."""

import os

# pydantic looks for plugins in the metadata of every installed package, which delays each command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
