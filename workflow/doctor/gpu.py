"""Check that a job would see its GPU: on a node of the GPU partition, inside the image, with a time limit."""

from stages.configuration import Config
from workflow.doctor.findings import Answer, Finding, ask, present
from workflow.gpu_requests import asked_model
from workflow.images.environment import container_program
from workflow.images.lock import Image
from workflow.site_profile import SiteProfile

_PROGRAM = (
    "import torch; n = torch.cuda.device_count(); "
    "print('GPUS', n, *(torch.cuda.get_device_properties(i).name + ' ' + "
    "str(torch.cuda.get_device_properties(i).total_memory // 2**30) + ' GiB' for i in range(n)), sep='|')"
)
_REMEDY = (
    "check that the node's driver is new enough for the image's CUDA (nvidia-smi), that the profile has "
    "`apptainer-args: --nv`, and that the partition has GPUs (sinfo -o '%P %G')"
)


def check_gpu(profile: SiteProfile, config: Config, image: Image | None, seconds: float | None) -> Finding:
    """Check the GPU.

    `seconds` is how long a GPU may take to be allotted and seen; None does not ask the cluster.
    """
    if config.device == "cpu":
        return Finding("ok", "GPU", "not needed: device is cpu")
    if not profile.in_containers:
        return _without_containers(config)
    if image is None:
        return Finding("not checked", "GPU", "there is no image `torch` to check from")
    if profile.on_slurm and seconds is None:
        return Finding(
            "not checked", "GPU", "the check needs a job in the queue", "add --gpu to request one for a minute"
        )
    command = [container_program(), "--silent", "exec", "--nv", "--cleanenv", str(image.sif), "python", "-c", _PROGRAM]
    if profile.on_slurm:
        command = [*allotment(profile, seconds or 0), *command]
    return _judged(config, ask(*command, seconds=(seconds or 120) + 30), profile.on_slurm)


_PASSED = {"slurm_account": "--account", "slurm_partition": "--partition", "constraint": "--constraint", "qos": "--qos"}


def allotment(profile: SiteProfile, seconds: float) -> list[str]:
    """Return the srun command with the profile's requests for pre-training; it gives up after `seconds`."""
    resources = profile.resources_of("pretrain")
    gpu = ":".join(filter(None, ["gpu", asked_model(resources), "1"]))
    options = [f"--gres={gpu}", "--ntasks=1", "--mem=8000", "--time=5", f"--immediate={max(1, round(seconds))}"]
    options += [f"{option}={resources[key]}" for key, option in _PASSED.items() if resources.get(key)]
    return ["srun", "--quiet", *options]


def _without_containers(config: Config) -> Finding:
    found = ask("nvidia-smi", "--list-gpus") if present("nvidia-smi") else Answer("", "no nvidia-smi on PATH")
    names = [line for line in found.output.splitlines() if line.startswith("GPU ")]
    if names:
        return Finding("ok", "GPU", "; ".join(line.partition(" (UUID")[0] for line in names))
    return _none_seen(config, found.problem or "nvidia-smi lists none")


def _judged(config: Config, answer: Answer, on_slurm: bool) -> Finding:
    marked = [line for line in answer.output.splitlines() if line.startswith("GPUS|")]
    if not marked:
        remedy = "try `--gpu-seconds 600`, or name a partition that has free GPUs" if on_slurm else _REMEDY
        return Finding("error", "GPU", answer.problem or "PyTorch did not start in the image", remedy)
    _, count, *names = marked[0].split("|")
    if count == "0":
        if on_slurm:
            return Finding("error", "GPU", "one was allotted, but PyTorch in the image sees none", _REMEDY)
        return _none_seen(config, "PyTorch in the image sees none")
    return Finding("ok", "GPU", f"visible inside the image: {', '.join(names)}")


def _none_seen(config: Config, why: str) -> Finding:
    if config.device == "cuda":
        return Finding("error", "GPU", f"{why}; device is cuda", "set device: auto, or repair the driver (nvidia-smi)")
    return Finding("warning", "GPU", why, "device is auto: everything would run on CPU cores (`make estimate`)")
