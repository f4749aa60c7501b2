# Sourced by run.sh: where the stages' jobs run. The default is this machine.
cmd="run.sh --max-jobs ${max_jobs:-2}"
# A Slurm cluster: uncomment, and give your site's options.
# cmd=slurm.sh; export slurm_options="--partition=gpu --gres=gpu:1 --cpus-per-task=8 --mem=64G --time=24:00:00"
