"""Processes: zygote, supervisor, job, resident. The standard library alone."""
