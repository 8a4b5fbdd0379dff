"""The cost of one image in each backbone: counted, published and measured."""
