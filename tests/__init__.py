"""The tests; those of a package lie in the folder of its name."""
