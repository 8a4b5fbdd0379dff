"""TensorRT plans: built of ONNX files, in the very TensorRT and on the very kind of GPU that will serve them."""
