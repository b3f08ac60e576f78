"""Everything that parses bytes from outside, fed with bytes that nobody meant: see docs/fuzzing.md."""
