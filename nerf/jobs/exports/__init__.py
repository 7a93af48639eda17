"""The parts of `nerf.jobs.export`."""
