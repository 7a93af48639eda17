"""The parts of `nerf.evaluate`."""
