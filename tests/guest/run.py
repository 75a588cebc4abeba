#!/usr/bin/env python3
"""Runs one program in a virtual machine with a kernel and drivers of its own, and brings back its output and exit code.

  tests/guest/run.py [--nic NAME,FAR ...] [--timeout S] PROGRAM [ARGUMENT ...]

Emulated, because nested virtualisation is rarely there. Nothing of the guest outlives the call.
"""
import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import selectors
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cpio  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
# virtio-net only lends its rings to AF_XDP when addresses pass the DMA interface and no offload reshapes frames. Nobody boots from it.
NIC = ("disable-legacy=on,iommu_platform=on,csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,"
             "ctrl_guest_offloads=off,host_mtu=9000,romfile=")
COMPLAINT = re.compile(r"WARNING:|BUG:|Oops|kernel BUG|Kernel panic|general protection fault|Call Trace|refcount_t:")


@dataclasses.dataclass
class Outcome:
    code: int
    output: str
    log: str  # the guest kernel's
    seconds: float

    def complaints(self):
        """Lines of the kernel's log that no kernel in good health writes."""
        return [line for line in self.log.splitlines() if COMPLAINT.search(line)]


class GuestFailed(Exception):
    """The guest ended without an exit code of the program, or took too long."""


def libraries(program):
    """The shared libraries of a program and its loader."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE)


def payload(binary, arguments, programs, nics):
    archive = cpio.Archive()
    for path in (binary, *programs):
        name = pathlib.Path(path).name
        archive.add(f"usr/sbin/{name}", pathlib.Path(path).read_bytes())
        for library in libraries(path):
            archive.add(library, pathlib.Path(library).read_bytes())
    job = shlex.join([pathlib.Path(binary).name, *arguments])
    archive.add("job", f"#!/bin/sh\nexec {job}\n".encode())
    archive.add("nics", "".join(f"{address} {name}\n" for address, name in nics).encode())
    return archive.finish()


def command(image, initramfs, nics, state, memory):
    # One processor: with several, QEMU 7.2 lets kernels trip over the breakpoints of their own code patching. But in a place for two: for a
    # machine that can have but one QEMU leaves out the barriers of locked instructions, though its devices run beside the processor. Then a NIC
    # and its driver each can take the other for awake, and what is in the ring stays there.
    line = ["setpriv", "--pdeathsig", "KILL",  # does not outlive us, however we end
            "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-machine", "q35",
            "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm", "-smp", "1,maxcpus=2", "-m", str(memory), "-kernel", image / "vmlinuz", "-initrd", initramfs,
            # The kernel's warnings go to the console too: when it panics they are all that is left. Its watchdogs would only notice how busy
            # this machine is.
            "-append", "console=ttyS0 loglevel=5 panic=-1 oops=panic ipv6.disable=1 mitigations=off nowatchdog "
            "rcupdate.rcu_cpu_stall_suppress=1 workqueue.watchdog_thresh=0", "-serial", f"file:{state}/console",
            "-device", "virtio-serial-pci", "-chardev", "file,id=output,path=/dev/stdout", "-chardev", f"file,id=log,path={state}/log",
            "-chardev", f"file,id=code,path={state}/code"]
    for port in ("output", "log", "code"):
        line += ["-device", f"virtserialport,chardev={port},name={port}"]
    for i, (address, _) in enumerate(nics):
        # The two ends of a cable are the two ports of a hub.
        line += ["-netdev", f"hubport,id=cable{i},hubid={i // 2}", "-device", f"virtio-net-pci,netdev=cable{i},mac={address},{NIC}"]
    return line


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


def follow(process, deadline, stream):
    """All that the process writes until it ends, and whether it ended before the deadline."""
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(max(0, deadline - time.monotonic())):
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return output.decode(errors="replace"), True
            output += chunk
            if stream:
                stream.write(chunk.decode(errors="replace"))
                stream.flush()
    return output.decode(errors="replace"), False


def boot(binary, arguments=(), nics=(), timeout=600, programs=("ip",), memory=512, stream=None):
    """Boots a guest that runs `binary` as its only job.

    nics      cables: pairs of names that the guest's virtio-net devices at their two ends get
    programs  of this machine, that the binary calls
    timeout   seconds, a guard against hanging alone: on a busy machine an emulated one is slow
    stream    where its output goes while it runs
    """
    begin = time.monotonic()
    image = pathlib.Path(subprocess.run([HERE / "make"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    ends = [(f"52:54:00:00:{cable:02x}:{end:02x}", name) for cable, names in enumerate(nics) for end, name in enumerate(names)]
    with contextlib.ExitStack() as stack:
        state = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-guest-")))
        found = [shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or program for program in programs]
        initramfs = state / "initramfs"
        initramfs.write_bytes((image / "initramfs").read_bytes() + payload(binary, arguments, found, ends))
        # QEMU warns that no hub leads out of the guest, which is the point.
        with open(state / "warnings", "w") as warnings:
            process = subprocess.Popen(command(image, initramfs, ends, state, memory), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=warnings)
        try:
            output, ended = follow(process, time.monotonic() + timeout, stream)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        code, log = read(state / "code").strip(), read(state / "log")
        if not ended or not code:
            why = "ended without an exit code" if ended else f"did not end within {timeout} s"
            raise GuestFailed(f"the guest {why}\n-- output\n{output}\n-- console\n{read(state / 'console')[-8000:]}"
                              f"\n-- QEMU\n{read(state / 'warnings')}")
        return Outcome(int(code), output, log, time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nic", action="append", default=[], metavar="NAME,FAR", help="a cable between two devices of the guest")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--log", action="store_true", help="print the guest kernel's log too")
    parser.add_argument("binary")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        outcome = boot(options.binary, options.arguments, [nic.split(",") for nic in options.nic], options.timeout, stream=sys.stdout)
    except GuestFailed as failure:
        raise SystemExit(str(failure)) from None
    if options.log:
        print(outcome.log)
    for line in outcome.complaints():
        print("kernel:", line, file=sys.stderr)
    print(f"{outcome.seconds:.1f} s, exit code {outcome.code}", file=sys.stderr)
    raise SystemExit(outcome.code)


if __name__ == "__main__":
    main()
