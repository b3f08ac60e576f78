"""Small programs, each run by the interpreter that has its library: `VERB BUCKET KEY ...`, see tests/clients/program.py."""
