#!/bin/bash
# One scene under Slurm on several machines: one process for each GPU.
#
#     sbatch examples/cluster/slurm_job.sh --scene=/data/garden --run_dir=runs/garden
#     sbatch --nodes=4 examples/cluster/slurm_job.sh --scene=/data/garden --run_dir=runs/garden
#
# All arguments go to nerf.main. Every process reads the images; the first one alone writes the run
# folder. The same command again resumes.
#
#SBATCH --job-name=nerf
#SBATCH --nodes=2
#SBATCH --exclusive
# JAX gives the process that is the i-th on its machine the i-th GPU of the machine. So there are as
# many tasks as GPUs, each sees all of them, and --gpus-per-task, which hides the others, is not used.
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=02:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
# SIGTERM two minutes before the time is over: the last step is saved.
#SBATCH --signal=TERM@120

set -euo pipefail

# The first process may still be saving when another one has ended, so none is killed for that. If one
# is lost, the others end by themselves within 150 seconds.
srun --kill-on-bad-exit=0 python -m nerf.main --mode=train --distributed "$@"
