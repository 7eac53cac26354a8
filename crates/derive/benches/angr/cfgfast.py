"""Recovers the graph of a program and its libraries by angr's CFGFast, and prints what that takes.

    cfgfast.py ROOT PROGRAM OBJECT…

The objects are paths in the root, as `derive` names those that it loads. Fails if angr does not load exactly these.
"""

import logging
import os
import resource
import sys
import time

import angr
from angr.procedures.definitions import SimSyscallLibrary

logging.disable(logging.ERROR)
root, program, objects = sys.argv[1], sys.argv[2], sys.argv[3:]

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

begin = time.monotonic(), spent()
graph = project.analyses.CFGFast(objects=list(loaded.values()))
seconds, processor = time.monotonic() - begin[0], spent() - begin[1]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"graph {seconds:.2f} {processor:.2f} {peak} {len(project.kb.functions)} {graph.graph.number_of_nodes()}")
