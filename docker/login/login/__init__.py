"""Who may come in by the front door of a VM: logins, sessions, roles. Asked by the edge for each request; docker/login/README.md."""
