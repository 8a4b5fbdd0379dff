"""A backbone, from timm or an ONNX file, to one checked ONNX file."""
