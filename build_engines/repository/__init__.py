"""Write a Triton model repository from exported backbones, and call what it serves."""
