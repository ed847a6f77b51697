"""Kernels that start warm: one process imports what chapters import, and every kernel is a fork of it.

Importing PyTorch and the libraries around it takes several seconds of each kernel, on some data more than the chapter
itself.  On Linux these seconds are spent once; elsewhere, or if the process cannot start, kernels start as always.
Nothing of ``lenet_utils`` is imported beforehand, and no chapter can see another's variables.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

PRELOADED = (
    "ipykernel.ipkernel",
    "myst_nb",
    "matplotlib.pyplot",
    "scipy.stats",
    "sklearn.manifold",
    "torch._dynamo",  # by every optimizer of torch
    "torchinfo",
    "torchvision.datasets",
)


class WarmKernels:
    """While this context lasts, kernels of this process are forks of one that has imported :data:`PRELOADED`.

    That one starts at once, so that it can import while the caller still has other things to do.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.parent = None
        if sys.platform == "linux":
            with suppress(OSError):
                self.parent = subprocess.Popen(
                    [sys.executable, __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf8",
                    start_new_session=True,  # Ctrl-C is the caller's
                )

    def __enter__(self) -> WarmKernels:
        factory = KernelProvisionerFactory.instance()
        self.usual = factory.default_provisioner_name
        if self.parent:
            Forked.warm = self
            factory.provisioners["forked"] = EntryPoint("forked", "warm_kernels:Forked", factory.GROUP_NAME)
            factory.default_provisioner_name = "forked"
        return self

    def __exit__(self, *exception) -> None:
        KernelProvisionerFactory.instance().default_provisioner_name = self.usual
        self.end()

    def fork(self, arguments: list[str], cwd: str, env: dict[str, str]) -> int | None:
        """The process number of a new kernel, or None if there is no parent to be forked."""
        with self.turn:
            if self.parent is None:
                return None
            try:
                self.parent.stdin.write(json.dumps([arguments, cwd, env]) + "\n")
                self.parent.stdin.flush()
                for line in self.parent.stdout:
                    if line.strip().isdigit():  # and no notice of the interpreter's own start
                        return int(line)
                raise OSError("the process has ended")
            except (OSError, ValueError):
                self.end()
                return None

    def end(self) -> None:
        """End the process; kernels start as always from now on."""
        parent, self.parent = self.parent, None
        if parent:
            parent.kill()
            parent.communicate()


class Forked(LocalProvisioner):
    """Starts a kernel by a fork of :class:`WarmKernels`' process; everything else is the local provisioner's."""

    warm: WarmKernels

    async def launch_kernel(self, cmd: list[str], **kwargs):
        module = cmd.index("-m") if "-m" in cmd else -2
        pid = None
        if cmd[module + 1] == "ipykernel_launcher":
            pid = self.warm.fork(cmd[module + 2 :], str(kwargs.get("cwd") or os.getcwd()), kwargs["env"])
        if pid is None:
            return await super().launch_kernel(cmd, **kwargs)
        self.process = Process(pid)
        self.pid = self.pgid = pid
        self.cwd = kwargs.get("cwd")
        return self.connection_info


class Process:
    """What the local provisioner asks of a ``subprocess.Popen``, for a process that another one started."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None while it lives, 0 afterwards."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.05)
        return 0

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    terminate = kill


def serve() -> tuple[list[str], str, dict[str, str]]:
    """Fork for each line of standard input; return in the forked process, with what the line asked for."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import may print is no answer
    del sys.path[0]  # this file's folder
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # a kernel ends when this process has ended
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in PRELOADED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no kernel stays behind as a zombie
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            return json.loads(line)
        os.write(answers, f"{pid}\n".encode())
    sys.exit()


def become_kernel(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """Be to the caller what ``python -m ipykernel_launcher`` would be."""
    from ipykernel import kernelapp

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    backend = os.environ["MPLBACKEND"]
    os.environ.clear()
    os.environ.update({"MPLBACKEND": backend} | env)
    sys.argv = ["ipykernel_launcher", *arguments]
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    become_kernel(*serve())
