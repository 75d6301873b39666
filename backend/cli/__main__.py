"""`python -m backend.cli` is the command `collapse`."""

from backend.cli.main import main

main()
