"""What the backends of one runtime share: PyTorch's modules, OpenVINO's compiled models."""
