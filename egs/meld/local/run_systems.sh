#!/usr/bin/env bash
# MELD: the systems of the paper's tables, and the tables.
#   local/run_systems.sh --systems all
#   local/run_systems.sh --systems "full two_stage" --tag a --set seed=2
# All options of run.sh are accepted, too; what is finished is not computed again.
set -euo pipefail

systems=all               # names of systems, or all
config=conf/meld.yaml     # configuration of all systems
set=()                    # key=value over the configuration; repeatable
init=                     # start model; SYSTEM in it: the system's name
tag=                      # results in exp/<tag>/<system>; else exp/<system>
nj=2                      # parallel processes; they do not change results
stage=1                   # first stage
stop_stage=9              # last stage; 9: baselines and tables
dry_run=false             # only print the commands
declare -a passed=()      # options of run.sh
. "$(dirname "$0")/../../../utils/parse_options.sh"

recipe=$(cd "$(dirname "$0")/.." && pwd)
. "$recipe/../../utils/stage.sh"
. "$recipe/../../utils/systems.sh"
name=$(basename "$config" .yaml)
[ "$name" = meld ] || tag=${tag:-$name}
sweep=exp${tag:+/$tag} conf=(--config "$config")
for setting in "${set[@]}"; do conf+=(--set "$setting"); done
list=$(cd "$recipe" && list_systems "$systems")
if selected 4 || selected 6; then
  for system in $list; do
    start=${init:-../speechcraft/exp/SYSTEM/fold1} start=${start//SYSTEM/$system}
    [[ $system == ssl_* || $start == none ]] || [ -d "$start/checkpoint" ] ||
      (cd "$recipe" && need_model "$start" "Train it, or start without: --init none")
  done
fi

for system in $list; do
  echo "system $system"
  dump=$(cd "$recipe" && encoder_of "$system")
  dump=${dump:+dump/$dump/meld}  # a store for each encoder
  [ "$PWD" -ef "$recipe" ] || dump=${dump:+$recipe/$dump}
  "$recipe/run.sh" --system "$system" --tag "${tag:+$tag/}$system" "${conf[@]}" \
    ${init:+--init "${init//SYSTEM/$system}"} --nj "$nj" --baselines false \
    --stage "$stage" --stop-stage "$stop_stage" --dry-run $dry_run \
    "${passed[@]}" ${dump:+--dump "$dump"}
  [ "$stage" -gt 3 ] || stage=3  # the data are the same for all systems
done

cd "$recipe"
$dry_run || ../../tools/setup.sh
. ./path.sh
. ./cmd.sh
if begin 9 "baselines and the paper's tables in $sweep"; then
  run $train_cmd "$sweep/baselines.log" \
    serdesc baselines "data/$name" --out "$sweep/baselines.json" "${conf[@]}" --nj "$nj"
  for number in 1 2 3; do
    run serdesc table $number "meld=$sweep" --descriptors --format markdown \
      --out "$sweep/table$number.md" "${conf[@]}"
  done
fi
