"""Show what a pool and its cascade do: a table in the terminal, three figures, and one page that holds them all."""
