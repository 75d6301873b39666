"""Losses of logits (B, K) and labels (B): a scalar, averaged over the batch, in float32 or better."""
