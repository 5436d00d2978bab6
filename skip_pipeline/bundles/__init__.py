"""The inputs of a network as small memory-mapped records: written, opened, and gathered as float32."""

from skip_pipeline.bundles.gather import Bundle, open_bundle, open_bundles

__all__ = ["Bundle", "open_bundle", "open_bundles"]
