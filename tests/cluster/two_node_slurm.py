"""A SLURM of two nodes on this machine: munge, accounting, the controller, a daemon per node, GPUs that are none.

`File=/dev/null` lets SLURM schedule GPU requests and set CUDA_VISIBLE_DEVICES without a GPU being there. The
configuration lies in /etc/slurm while the daemons run, since Snakemake's plugin clears SLURM_CONF from job steps.
Both nodes are this machine, by other ports: Debian's slurmd may run several times (`--enable-multiple-slurmd`).
"""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from accounting import DAEMON_PORT, MARK, register, slurmdbd_conf, start_database

CONFIGURATION = Path("/etc/slurm")
CLUSTER = "test"
FIRST_PORT = 26830  # of the daemon of the first node
GPUS = ("/dev/null", "/dev/full")  # of a node
SLURM_CONF = """\
{mark}
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=26817
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
MinJobAge=3600
PreemptType=preempt/qos
PreemptMode=REQUEUE
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
GresTypes=gpu
SlurmdParameters=config_overrides
{nodes}
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO
PartitionName=gpu Nodes=ALL MaxTime=INFINITE OverSubscribe=NO
"""


class TwoNodeSlurm:
    """Starts the daemons on entering and ends them, and every job, on leaving. Needs root.

    `memory` (MB) is what the node claims, so that real requests fit: small settings use little of it.
    """

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 256_000) -> None:
        self.folder = folder
        (folder / "state").mkdir(parents=True)
        self.nodes = {f"node{number}": FIRST_PORT + number for number in (1, 2)}
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory}"
            f" Gres=gpu:{len(GPUS)}"
            for name, port in self.nodes.items()
        )
        values = {"mark": MARK, "cluster": CLUSTER, "host": host, "folder": folder, "nodes": nodes}
        gpus = "\n".join(f"NodeName={name} Name=gpu File={file}" for name in self.nodes for file in GPUS)
        self._files = {
            CONFIGURATION / "slurm.conf": SLURM_CONF.format(accounting_port=DAEMON_PORT, **values),
            CONFIGURATION / "gres.conf": f"{MARK}\n{gpus}\n",
            CONFIGURATION / "slurmdbd.conf": slurmdbd_conf(folder),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "TwoNodeSlurm":
        for path, text in self._files.items():
            assert not path.exists() or path.read_text().startswith(MARK), (
                f"{path}: this machine has a SLURM of its own"
            )
            path.write_text(text)
            path.chmod(0o600 if path.name == "slurmdbd.conf" else 0o644)  # it holds a password: slurmdbd insists
        try:
            self._start_munge()
            self._daemons.append(start_database(self.folder))
            self.start_accounting()
            register(CLUSTER, self.folder / "slurmdbd.log")
            self.start_controller()
            for name in self.nodes:
                self.start_node(name)
            self._wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["scancel", "--user=root"], timeout=20, check=False, capture_output=True)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for path in self._files:
            path.unlink()

    def command(self, *arguments: str, check: bool = True) -> str:
        """Output of a client command, such as `squeue`."""
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job that the controller remembers, by job id: the fields of `scontrol show job`."""
        records = self.command("scontrol", "--oneliner", "show", "job").splitlines()
        fields = [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in records]
        return {each["JobId"]: each for each in fields if "JobId" in each}

    def start_accounting(self) -> None:
        self._start("slurmdbd", "-D")

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")

    def start_node(self, name: str) -> None:
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        self._start("slurmd", "-D", "-N", name)

    def stop(self, *command: str) -> None:
        """End the daemon that was started by a command that begins like this: `slurmctld`, or `slurmd -D -N node1`."""
        (daemon,) = [each for each in self._daemons if tuple(each.args[: len(command)]) == command]
        daemon.terminate()
        daemon.wait(30)
        self._daemons.remove(daemon)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("ab") as log:
            self._daemons.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _start_munge(self) -> None:
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
            return  # one runs already; it is not ours to end
        run = Path("/run/munge")
        run.mkdir(exist_ok=True)
        shutil.chown(run, "munge", "munge")
        self._start("runuser", "-u", "munge", "--", "munged", "--foreground", "--force")
        deadline = time.monotonic() + 20
        while subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, (self.folder / "runuser.out").read_text()
            time.sleep(0.2)

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + 60
        while self.command(
            "sinfo", "--Node", "--noheader", "--partition=normal", "--format=%T", check=False
        ).split() != (["idle"] * len(self.nodes)):
            assert time.monotonic() < deadline, (self.folder / "slurmctld.log").read_text()[-3000:]
            time.sleep(0.5)
