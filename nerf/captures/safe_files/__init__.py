"""Reading files that may be damaged or hostile."""
