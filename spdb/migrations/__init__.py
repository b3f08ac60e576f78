"""Alembic's folder: `upgrade` runs it from within the program, `env.py` is what Alembic calls."""
