"""Turn a pool file into ONNX files, TensorRT plans and Triton model entries."""
