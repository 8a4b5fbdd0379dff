"""What the other packages lean on: whole-or-nothing files, and the terminal."""
