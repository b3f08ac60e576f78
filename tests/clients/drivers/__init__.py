"""Small programs, each run by the interpreter that has its library: `VERB BUCKET WORD...` (see program.py)."""
