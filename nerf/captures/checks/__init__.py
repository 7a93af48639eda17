"""What is probably wrong with a capture: impossible cameras, likely mistakes, exposure."""
