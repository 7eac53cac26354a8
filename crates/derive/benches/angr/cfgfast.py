"""Recovers the graph of a program and its libraries by angr's CFGFast, and prints what that takes.

    cfgfast.py LIMIT ROOT PROGRAM OBJECT…

The objects are paths in the root, as `derive` names those that it loads. Fails if angr does not load exactly these. Ends
CFGFast after LIMIT seconds of processor time, and says so.
"""

import logging
import os
import resource
import signal
import sys
import time

import angr
from angr.procedures.definitions import SimSyscallLibrary

logging.disable(logging.ERROR)
limit, root, program, objects = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]

has_prototype = SimSyscallLibrary.has_prototype


def has_known_prototype(library, abi, name):
    """Whether a call has a prototype that can be resolved: angr 9.2.213 ends with an assertion for one that cannot."""
    return has_prototype(library, abi, name) and library.get_prototype(abi, name, deref=True) is not None


SimSyscallLibrary.has_prototype = has_known_prototype


def place(path):
    """Where a path of the root is, with the links of the root followed."""
    return os.path.realpath(root + path)


def spent():
    """The seconds of processor time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


wanted = {place(it) for it in objects} | {place(program)}
begin = time.monotonic(), spent()
project = angr.Project(
    place(program),
    auto_load_libs=True,
    use_system_libs=False,
    ld_path=sorted({os.path.dirname(it) for it in wanted}),
    force_load_libs=sorted(wanted - {place(program)}),
)
loaded = {os.path.realpath(it.binary): it for it in project.loader.all_elf_objects}
if set(loaded) != wanted:
    sys.exit(f"{program}: angr loads other files: {sorted(set(loaded) ^ wanted)}")
print(f"load {time.monotonic() - begin[0]:.2f} {spent() - begin[1]:.2f}", flush=True)



def report(outcome, count):
    """Prints what CFGFast has taken so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{outcome} {time.monotonic() - begin[0]:.2f} {spent() - begin[1]:.2f} {peak} {count}", flush=True)


def end(*_):
    """The limit is reached. angr catches exceptions, so that the process itself ends."""
    report("unfinished", "-")
    os._exit(0)


begin = time.monotonic(), spent()
signal.signal(signal.SIGXCPU, end)
resource.setrlimit(resource.RLIMIT_CPU, (int(begin[1]) + limit, resource.RLIM_INFINITY))
project.analyses.CFGFast(objects=list(loaded.values()))
report("finished", len(project.kb.functions))
