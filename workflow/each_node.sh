#!/usr/bin/env bash
# Run the command in EACH_NODE on one node of a job of several: srun starts this once per node, in the workflow's folder.
# Usage: each_node.sh [APPTAINER_OPTION... IMAGE]; without an image the command runs on the node itself.
set -euo pipefail
(($#)) || exec bash -c "$EACH_NODE"
program=$(basename "$(command -v apptainer || command -v singularity)")
# The variables of the container were set on the job's first node. These differ from node to node; Apptainer passes
# APPTAINERENV_X on as X, Singularity SINGULARITYENV_X.
for name in CUDA_VISIBLE_DEVICES SLURM_NODEID SLURM_LAUNCH_NODE_IPADDR; do
  [[ -z ${!name+set} ]] || export "${program^^}ENV_$name=${!name}"
done
exec "$program" exec --home "$PWD" "$@" bash -c "$EACH_NODE"
