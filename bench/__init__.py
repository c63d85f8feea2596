"""Measurements of tranship beside what people would use instead. The door is `make bench`."""
