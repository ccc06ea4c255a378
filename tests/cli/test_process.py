"""The process of the command line: idle threads sleep, freed memory is kept."""

import os
import subprocess
import sys

CODE = """
import os, resource
if {set_up}:
    from uqrestore.cli.process import set_up_process
    set_up_process()
bytes(b"x" * 2**26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    bytes(b"x" * 2**26)
print(os.environ.get("OMP_WAIT_POLICY"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 2**26 // 4096


def printed(*, set_up: bool, **more: str) -> list[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "OMP_WAIT"))}
    command = [sys.executable, "-c", CODE.format(set_up=set_up)]
    done = subprocess.run(command, env=kept | more, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_memory_of_one_array_serves_the_next() -> None:
    _, faults = printed(set_up=False)
    assert int(faults) > 6 * PAGES or sys.platform != "linux"
    policy, faults = printed(set_up=True)
    assert policy == "passive"
    assert int(faults) < PAGES or sys.platform != "linux"


def test_what_the_environment_sets_stays() -> None:
    assert printed(set_up=True, OMP_WAIT_POLICY="active")[0] == "active"
