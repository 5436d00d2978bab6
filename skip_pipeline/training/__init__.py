"""Training a network: the loop, the settings that are refused, the history, the export to ONNX."""
