"""The front door of a VM: makes Caddy's configuration of a few variables, and takes certificates anew when their files change."""
