"""Every service killed at every state of a put: the processes, the points at which they die, the cells, the report."""
