"""What is measured, beside whom. ``python -m benchmarks.NAME --json FILE [--quick]``."""
