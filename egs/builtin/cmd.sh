# Sourced by run.sh: how jobs are started. All of this recipe's jobs run on CPUs.
train_cmd="local.sh --max-jobs 2"
# A Slurm cluster: use this instead; options of sbatch for your site are written --name=value.
# train_cmd="slurm.sh --partition=cpu --cpus-per-task=8 --mem=32G --time=24:00:00"
