"""What plug-ins that read or write ONNX files share: nodes and their groups, types, calibration, kernels."""
