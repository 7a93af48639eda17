"""Benchmarks of speed and quality; speed is compared with the best the machine can do."""
