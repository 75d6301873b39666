"""The paper's comparisons, and questions beyond it: sweeps over seeds, statistical tests of claims, reports."""
