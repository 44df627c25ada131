"""A SLURM of one node on this machine: munge, the controller, the node daemon, a GPU that is none, no accounting;
a partition `urgent` whose jobs preempt those of `normal`.

`File=/dev/null` lets SLURM schedule GPU requests and set CUDA_VISIBLE_DEVICES without a GPU being there. The
configuration lies in /etc/slurm while the daemons run, since Snakemake's plugin clears SLURM_CONF from job steps.
"""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

MARK = "# Written by MLIP's cluster tests."
CONFIGURATION = Path("/etc/slurm")
SLURM_CONF = """\
{mark}
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE OverSubscribe=NO PriorityTier=2 PreemptMode=OFF
"""


class OneNodeSlurm:
    """Starts the daemons on entering and ends them, and every job, on leaving. Needs root.

    `memory` (MB) is what the node claims, so that real requests fit: small settings use little of it.
    """

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 256_000) -> None:
        self.folder = folder
        (folder / "state").mkdir(parents=True)
        (folder / "spool").mkdir()
        host = socket.gethostname()
        values = {"mark": MARK, "host": host, "folder": folder, "cpus": cpus, "memory": memory}
        self._files = {
            CONFIGURATION / "slurm.conf": SLURM_CONF.format(**values),
            CONFIGURATION / "gres.conf": f"{MARK}\nNodeName={host} Name=gpu File=/dev/null\n",
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "OneNodeSlurm":
        for path, text in self._files.items():
            assert not path.exists() or path.read_text().startswith(MARK), (
                f"{path}: this machine has a SLURM of its own"
            )
            path.write_text(text)
        try:
            self._start_munge()
            self.start_controller()
            self._start("slurmd", "-D")
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

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")

    def stop_controller(self) -> None:
        (controller,) = [each for each in self._daemons if each.args[0] == "slurmctld"]
        controller.terminate()
        controller.wait(30)
        self._daemons.remove(controller)

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
        while self.command("sinfo", "--noheader", "--format=%T", check=False).strip() != "idle":
            assert time.monotonic() < deadline, (self.folder / "slurmctld.log").read_text()[-3000:]
            time.sleep(0.5)
