# Sourced by run.sh: how jobs are started. train_cmd: on CPUs; cuda_cmd: on GPUs, $ngpu each.
# This machine: at most two CPU jobs and one GPU job at a time.
train_cmd="local.sh --max-jobs 2"
cuda_cmd="local.sh --max-jobs 1"
# A Slurm cluster: use these instead; options of sbatch for your site are written --name=value.
# train_cmd="slurm.sh --partition=cpu --cpus-per-task=4 --mem=16G --time=24:00:00"
# cuda_cmd="slurm.sh --partition=gpu --gres=gpu:$ngpu --cpus-per-task=8 --mem=64G --time=2-0"
