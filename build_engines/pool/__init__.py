"""The pool file, its labels, and the files that are built from it."""
