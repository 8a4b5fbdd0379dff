"""Real photographs: a cascade of ImageNet classifiers whose pretrained weights are Python packages."""
