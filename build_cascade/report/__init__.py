"""The report on a pool and its cascade: a table in the terminal, three figures, and one page with all of them."""
