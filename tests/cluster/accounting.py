"""SLURM's accounting on this machine: MariaDB, slurmdbd, an account, a user, two QOS of which one preempts."""

import subprocess
import time
from pathlib import Path

MARK = "# Written by MLIP's cluster tests."
PASSWORD = "of-a-database-on-loopback"
DATABASE_PORT, DAEMON_PORT = 26820, 26821
ACCOUNT = "radiology"
SLURMDBD_CONF = """\
{mark}
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={daemon_port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def slurmdbd_conf(folder: Path) -> str:
    """Return the configuration of the accounting daemon, which must lie in SLURM's own folder."""
    return SLURMDBD_CONF.format(
        mark=MARK, folder=folder, password=PASSWORD, database_port=DATABASE_PORT, daemon_port=DAEMON_PORT
    )


def start_database(folder: Path) -> subprocess.Popen[bytes]:
    """Start a MariaDB of its own, with the user that slurmdbd signs in as, and return its process."""
    data, socket = folder / "database", folder / "database.sock"
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
               "--auth-root-authentication-method=normal"]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True, timeout=60)
    server = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
              "--bind-address=127.0.0.1", f"--port={DATABASE_PORT}", f"--pid-file={data}/pid",
              "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]  # fmt: skip
    with (folder / "database.log").open("ab") as log:
        process = subprocess.Popen(server, stdout=log, stderr=log)
    user = f"slurm@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"
    client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--execute"]
    wait_for([*client, f"CREATE USER IF NOT EXISTS {user}; GRANT ALL ON slurm.* TO {user}"], folder / "database.log")
    return process


def register(cluster: str, log: Path) -> None:
    """Register cluster, account, user and the two QOS: jobs of `urgent` may preempt those of `normal`."""
    wait_for(["sacctmgr", "--noheader", "show", "cluster"], log)
    for words in (
        ("add", "cluster", cluster),
        ("add", "account", ACCOUNT, f"Cluster={cluster}"),
        ("add", "qos", "urgent", "Preempt=normal", "Priority=100"),
        ("add", "user", "root", f"Account={ACCOUNT}", f"Cluster={cluster}", "QOS=normal,urgent", "DefaultQOS=normal"),
        ("modify", "user", "root", "set", f"DefaultAccount={ACCOUNT}"),
    ):
        done = subprocess.run(
            ["sacctmgr", "--immediate", *words], capture_output=True, text=True, timeout=60, check=False
        )
        # root is there from the beginning, without the account
        assert done.returncode == 0 or "already" in done.stdout + done.stderr, done.stdout + done.stderr


def wait_for(command: list[str], log: Path, seconds: float = 60) -> None:
    """Repeat a command until it succeeds."""
    deadline = time.monotonic() + seconds
    while (done := subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)).returncode:
        assert time.monotonic() < deadline, done.stderr + (log.read_text()[-3000:] if log.exists() else "")
        time.sleep(0.2)
