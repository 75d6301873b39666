"""The training loop, its trainer, optimisers, captures and checkpoints."""
