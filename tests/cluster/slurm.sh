#!/usr/bin/env bash
# A Slurm cluster on this machine, for tests: two nodes, each with two GPUs that do not exist.
# For root, in a container; needs the packages of tools/get_slurm.sh and no cgroups.
#   slurm.sh start DIR        DIR: its configuration, state and logs; prints the line for SLURM_CONF
#   slurm.sh kill DIR NODE    SIGKILL for the node's slurmd and all of its jobs, as a power failure
#   slurm.sh boot DIR NODE    start the node again
#   slurm.sh stop DIR
# Nodes: node1, node2. Partitions: cpu (default), gpu, and urgent, whose jobs preempt the others'.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# //p' "$0"; exit 2; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
export SLURM_CONF=$dir/slurm.conf
fail() { echo "slurm.sh: $1" >&2; exit 1; }

configure() {
  cat >"$dir/slurm.conf" <<END
ClusterName=serdesc
SlurmctldHost=localhost
SlurmctldPort=26817
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=$dir/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n.spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MessageTimeout=10
GresTypes=gpu
NodeName=DEFAULT CPUs=8 RealMemory=64000 Gres=gpu:2
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=26821
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=26822
PartitionName=DEFAULT Nodes=node1,node2 MaxTime=INFINITE PriorityTier=1 GraceTime=60 OverTimeLimit=0
PartitionName=cpu Default=YES
PartitionName=gpu
PartitionName=urgent PriorityTier=2
END
  # Two devices that every machine has: Slurm counts them and sets CUDA_VISIBLE_DEVICES.
  echo "NodeName=node[1-2] Name=gpu File=/dev/null,/dev/zero" >"$dir/gres.conf"
}
wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
  local left=$1
  until "${@:2}"; do
    [ $((left--)) -gt 0 ] || fail "no result of: ${*:2}; see $dir/*.log"
    sleep 1
  done
}
is_idle() { [ "$(sinfo -h -N -o '%N %T' -n "$1" 2>/dev/null | sort -u)" = "$1 idle" ]; }
start() {
  for program in munged slurmctld slurmd; do
    [ -n "$(type -P $program)" ] || fail "$program is not installed: tools/get_slurm.sh"
  done
  configure
  mkdir -p "$dir/state"
  (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
  slurmctld
  for node in node1 node2; do slurmd -N $node 2>"$dir/$node.err"; done
  for node in node1 node2; do wait_for 30 is_idle $node; done
  echo "export SLURM_CONF=$SLURM_CONF"
}
processes_of() { # processes_of NODE: slurmd, its jobs, and slurmstepd above them
  local folder pid above
  cat "$dir/$1.pid" || true # slurmd has ended, its jobs not
  for folder in /proc/[0-9]*; do
    grep -qsz "^SLURMD_NODENAME=$1\$" "$folder/environ" || continue
    grep -qsz "^SLURM_CONF=$SLURM_CONF\$" "$folder/environ" || continue
    pid=${folder#/proc/} above=$(awk '/^PPid/ {print $2}' "$folder/status")
    echo "$pid"
    [ "$(cat "/proc/$above/comm")" != slurmstepd ] || echo "$above"
  done
} 2>/dev/null
stop() {
  scontrol shutdown >/dev/null 2>&1 || true
  sleep 2
  for name in slurmctld node1 node2; do
    for pid in $([ $name = slurmctld ] && cat "$dir/slurmctld.pid" || processes_of $name); do
      kill -9 "$pid" 2>/dev/null || true
    done
  done 2>/dev/null
  kill "$(cat "$dir/munged.pid")" 2>/dev/null || true
}
case $1 in
  start) start ;;
  kill) kill -9 $(processes_of "$3") 2>/dev/null || true ;;
  boot) slurmd -N "$3" 2>"$dir/$3.err" ;;
  stop) stop ;;
  *) fail "$1: expected start, kill, boot or stop" ;;
esac
