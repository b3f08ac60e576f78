"""Small programs, each run by the interpreter that has its library (see serving.py, and program.py for the verbs)."""
