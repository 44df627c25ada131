# Sourced by every non-interactive bash in an image (BASH_ENV). Under Apptainer the image is read-only and HOME is the
# work folder, so library caches go below TMPDIR, in one folder per user. Variables that are already set take precedence.
_caches=${TMPDIR:-/tmp}/mlip-caches-$UID
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$_caches}
export MPLCONFIGDIR=${MPLCONFIGDIR:-$_caches/matplotlib}
export HF_HOME=${HF_HOME:-$_caches/huggingface}
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$_caches/torchinductor}
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$_caches/triton}
export CUDA_CACHE_PATH=${CUDA_CACHE_PATH:-$_caches/cuda}
unset _caches
