from __future__ import annotations

import platform
import subprocess
import sys


def test_the_allocator_accepts_the_settings_where_it_is_glibc() -> None:
    # In a process of its own: what it sets cannot be unset.
    program = "from sp.runtime.malloc import tune_malloc; print(tune_malloc())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
