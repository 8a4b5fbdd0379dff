"""What one image costs in each backbone: counted, published and measured."""
