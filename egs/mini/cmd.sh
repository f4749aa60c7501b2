# Sourced by run.sh: how jobs are started. train_cmd: on CPUs; cuda_cmd: on a GPU; dist_cmd:
# trainings, by default with cuda_cmd and $ngpu GPUs each.
# This machine: two CPU jobs at a time, and as many GPU jobs as there are GPUs for.
train_cmd="local.sh --max-jobs-run 2"
cuda_cmd="local.sh --gpu 1"
# A Slurm cluster: use these instead; conf/slurm.conf (default: utils/slurm.conf) has its words.
# train_cmd="slurm.sh --num-threads 4 --mem 16G --time 24:00:00"
# cuda_cmd="slurm.sh --num-threads 8 --mem 64G --time 2-0 --gpu 1"
# dist_cmd="$cuda_cmd --gpu $ngpu --nodes 2"   # on two nodes, $ngpu GPUs on each
