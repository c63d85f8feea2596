"""Source tables as assets in the schema `staging`, and the dimension built on them."""
