"""The pool file, its labels, and the files built from it."""
