#!/bin/sh
# Tries on a computer with NVIDIA GPUs what cannot be tested without: the doctor, the checkpoint helper, torchrun.
#
#   scripts/try_gpu.sh [FOLDER]     FOLDER: for the logs (default: a new one)
#
# At most five minutes, no network, nothing is installed: PyTorch is what is found, gpurent is this checkout, with a
# Python 3.11 that has its requirements (.venv after `make setup`). PYTHON= names the Python with PyTorch, GPURENT_NPROC=
# a number of processes in place of the number of GPUs. Prints a table.
# Exit code 0: all is well, 1: something failed, 3: something is missing, so that not everything was tried.
set -u
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
work=${1:-$(mktemp -d "${TMPDIR:-/tmp}/try-gpu.XXXXXX")} || exit 1
mkdir -p "$work" || exit 1
PATH=$PATH:/usr/local/nvidia/bin:/usr/local/cuda/bin
sources=$root/core
for plugin in "$root"/plugins/*/src; do sources=$sources:$plugin; done
begun=$(date +%s)
worst=0
rows=

left() { # seconds for a part: $1, or what is left of the five minutes
    rest=$((begun + 290 - $(date +%s)))
    [ "$rest" -lt "$1" ] && echo "$rest" || echo "$1"
}

row() { # part, result, seconds, details
    rows="$rows$(printf '%-14s %-8s %5s  %s' "$1" "$2" "$3" "$4")
"
    case $2 in failed) worst=1 ;; missing) [ "$worst" = 1 ] || worst=3 ;; esac
}

part() { # NAME SECONDS COMMAND...: run it; the last line of its output is for the table
    name=$1 limit=$(left "$2") log=$work/${1##* --}.log from=$(date +%s)
    shift 2
    if [ "$limit" -lt 5 ]; then row "$name" failed 0 "no time was left"; return 1; fi
    PYTHONPATH=$sources timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null
    code=$?
    last=$(grep . "$log" | tail -n 1 | cut -c 1-200)
    case $code in
        0) row "$name" ok "$(($(date +%s) - from))" "$last" ;;
        124 | 137) row "$name" failed "$(($(date +%s) - from))" "did not end within $limit s; see $log" ;;
        *) row "$name" failed "$(($(date +%s) - from))" "$last; see $log" ;;
    esac
    return $code
}

find_python() { # PROGRAM: the first Python in which it succeeds
    for python in ${PYTHON:-} python3 python /opt/conda/bin/python "$HOME/miniconda3/bin/python" "$root/.venv/bin/python"; do
        command -v "$python" >/dev/null 2>&1 || continue
        PYTHONPATH=$sources timeout 60 "$python" -c "$1" >/dev/null 2>&1 || continue
        command -v "$python"
        return
    done
}

torch=$(find_python 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))')
own=$(find_python 'import sys
assert sys.version_info >= (3, 11)
import gpurent.remote.doctor.health_report, gpurent_plugin_torch.launcher')

gpus=0
if ! command -v nvidia-smi >/dev/null 2>&1; then
    row driver missing 0 "no nvidia-smi: this computer has no NVIDIA driver"
elif part driver 20 nvidia-smi --query-gpu=driver_version,name,memory.total --format=csv,noheader ||
    grep -q 'Driver Version' "$work/driver.log"; then
    gpus=$(grep -c . "$work/driver.log")
fi

if [ -z "$torch" ]; then
    row pytorch missing 0 "no Python with PyTorch was found; PYTHON= names one"
else
    cat >"$work/pytorch.py" <<'END'
import sys, torch
count = torch.cuda.device_count()
names = sorted({torch.cuda.get_device_name(n) for n in range(count)})
print("torch %s, CUDA %s, %d x %s (%s)" % (torch.__version__, torch.version.cuda, count, ", ".join(names) or "GPU", sys.executable))
sys.exit(int(count < int(sys.argv[1])))
END
    part pytorch 60 "$torch" "$work/pytorch.py" "$gpus"
fi

if [ -z "$own" ]; then
    row doctor missing 0 "no Python 3.11 with gpurent's requirements: make setup"
else
    part doctor 150 "$own" "$root/scripts/try_gpu_doctor.py" health "$gpus" "${torch:-python3}"
    part "doctor --perf" 110 "$own" "$root/scripts/try_gpu_doctor.py" speed "$gpus" "${torch:-python3}"
fi

helper=$root/plugins/torch/src/gpurent_plugin_torch/gpurent_torch.py
if [ -z "$torch" ]; then
    row checkpoint missing 0 "needs PyTorch"
    row torchrun missing 0 "needs PyTorch"
elif [ "$gpus" = 0 ] && [ -z "${GPURENT_NPROC:-}" ]; then
    row checkpoint missing 0 "needs a GPU"
    row torchrun missing 0 "needs a GPU"
else
    cp "$helper" "$work/" || exit 1
    cp "$root/scripts/try_gpu_checkpoint.py" "$root/scripts/try_gpu_train.py" "$work/" || exit 1
    cd "$work" || exit 1
    part checkpoint 60 "$torch" try_gpu_checkpoint.py
    processes=${GPURENT_NPROC:-$gpus}
    # Of one GPU the launcher makes one plain process; torchrun is to be tried all the same.
    set -- "$torch" -m torch.distributed.run --standalone --nproc_per_node="$processes" try_gpu_train.py
    if [ "$processes" -gt 1 ] && [ -n "$own" ]; then
        line=$(PYTHONPATH=$sources "$own" -c 'import sys
from gpurent.api import MachineProfile
from gpurent_plugin_torch.launcher import TorchrunLauncher
print(TorchrunLauncher().launch_command(("try_gpu_train.py",), MachineProfile(user="root", python=sys.argv[1])))' "$torch") &&
            set -- sh -c "$line"
    fi
    part torchrun 90 "$@"
fi

printf '%-14s %-8s %5s  %s\n' part result s details
printf '%s' "$rows"
echo "$(($(date +%s) - begun)) s; logs: $work"
exit $worst
