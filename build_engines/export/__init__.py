"""A backbone, from timm or an ONNX file, as one checked ONNX file."""
