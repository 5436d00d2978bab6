"""The tensors' format: small records on disk, written, read, and gathered into float32 inputs."""
