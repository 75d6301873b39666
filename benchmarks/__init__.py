"""What the project claims about speed and collapse, measured: `make bench`, or `python -m benchmarks NAME …`."""
