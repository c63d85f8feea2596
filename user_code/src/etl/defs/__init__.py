"""The pipelines: one folder per purpose. Put your own beside them."""
