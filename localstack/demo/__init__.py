"""The demo: the whole pipeline on one machine, with embedded systems and nothing to install."""
