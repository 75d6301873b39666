"""The paper's comparisons, and questions beyond it: sweeps over seeds, claims tested in numbers, reports."""
