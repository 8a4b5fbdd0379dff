"""Complete examples, each run from the checkout as `python -m examples.NAME`; not part of the wheel."""
