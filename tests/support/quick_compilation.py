"""How tests compile: most of their time goes into many small programs, each of which runs briefly.

Quickly, programs are compiled without most optimisations and by XLA's older way to make code, in a
third of the time. JAX has no setting of its own for the second; every version that is admitted has
the function that is replaced here. The programs that tests start are compiled with the usual code,
and so is everything in the long form.
"""

import functools

import jax
from jax._src import compiler

_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
_compile_options = compiler.get_compile_options


@functools.wraps(_compile_options)
def _quick_options(*args, env_options_overrides=None, **options):
    overrides = {**_OPTIONS, **(env_options_overrides or {})}
    return _compile_options(*args, env_options_overrides=overrides, **options)


def compile_quickly(is_quick):
    """Whether this process compiles quickly from now on."""
    jax.config.update("jax_disable_most_optimizations", is_quick)
    compiler.get_compile_options = _quick_options if is_quick else _compile_options
