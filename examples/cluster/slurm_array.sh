#!/bin/bash
# Many scenes under Slurm: each line of a file is a scene, which one GPU trains.
#
#     sbatch --array=0-7%4 examples/cluster/slurm_array.sh scenes.txt --train_seconds=600
#     python -m nerf.compare runs/*
#
# A line is a folder or a name, as for --scene. --array counts the lines from 0 ("%4": at most four
# at a time). All further arguments go to nerf.main. The same command again resumes what has not
# finished; a run that is complete is only scored.
#
#SBATCH --job-name=nerf-scenes
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
# SIGTERM two minutes before the time is over: the last step is saved.
#SBATCH --signal=TERM@120

set -euo pipefail

scenes=${1:?name the file that lists the scenes}
scene=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$scenes")
if [ -z "$scene" ]; then
    echo "error: $scenes has no line $((SLURM_ARRAY_TASK_ID + 1)): give --array=0-N with N + 1 lines" >&2
    exit 1
fi

# The run folder is named after the scene: procedural:flower@24x18 becomes procedural-flower-24x18.
name=$(basename "$scene" | tr -c '[:alnum:]._\n-' '-')
srun python -m nerf.main --mode=train --scene="$scene" --run_dir="runs/$name" "${@:2}"
