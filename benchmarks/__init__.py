"""How fast the library is; every figure stands beside what the machine could do at best."""
