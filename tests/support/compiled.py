"""Functions of the library, each compiled as a whole.

Called as they are, every operation in them would be compiled on its own, which takes most of the
time of a test. What is static here must be hashable; a function that is made anew for each call is
compiled anew.
"""

import jax

from nerf.render import images, rays
from nerf.training import batch, gradient, loss

render_rays = jax.jit(rays.render_rays, static_argnums=(0, 3))
image_rays = jax.jit(images.image_rays, static_argnames=("space", "config"))
photometric_loss = jax.jit(loss.photometric_loss, static_argnums=(0, 3))
loss_and_gradient = jax.jit(gradient.loss_and_gradient, static_argnums=(0, 3, 4))
sample_batch = jax.jit(batch.sample_batch, static_argnames=("num_rays", "space", "config"))
