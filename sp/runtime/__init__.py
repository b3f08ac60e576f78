"""Edges that all services share: configuration, serving and dialling, tasks, time, logs, metrics."""
