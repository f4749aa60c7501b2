# Sourced by run.sh: how jobs are started. All of this recipe's jobs run on CPUs.
train_cmd="local.sh --max-jobs-run 2"
# A Slurm cluster: use this instead; conf/slurm.conf (default: utils/slurm.conf) has its words.
# train_cmd="slurm.sh --num-threads 8 --mem 32G --time 24:00:00"
