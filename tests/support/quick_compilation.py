"""Quick compilation for tests, which spend most of their time on compiling small programs.

Most optimisations are off, XLA's older code generator is used, and a program is compiled in one
piece: this takes a third of the time.
JAX has no setting for the code generator, so a private function of JAX is replaced, which all
versions from 0.6.1 to 0.12.0.1 have. 0.12.0.1 no longer has the older code generator. The long
form of the tests uses what users get; programs that tests start use their code generator.
"""

import functools

import jax
from jax._src import compiler

_OPTIONS = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_compile_options = compiler.get_compile_options


@functools.wraps(_compile_options)
def _quick_options(*args, env_options_overrides=None, **options):
    overrides = {**_OPTIONS, **(env_options_overrides or {})}
    return _compile_options(*args, env_options_overrides=overrides, **options)


def compile_quickly(is_quick):
    """Whether this process compiles quickly from now on."""
    jax.config.update("jax_disable_most_optimizations", is_quick)
    has_older = is_quick and _has_older_generator()
    compiler.get_compile_options = _quick_options if has_older else _compile_options


@functools.cache
def _has_older_generator():
    try:
        jax.jit(lambda: 0, compiler_options=_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:  # XLA does not know the option
        return False
    return True
