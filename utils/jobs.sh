# Source this in a launcher: it takes options, JOB= and LOG off the arguments; the command is left.
# options[NAME]: --mem --gpu --num-threads --time --max-jobs-run --nodes --config; more: others.
# jobs: the numbers of the jobs to run, or one empty word. Jobs of an array whose logs end with code
# 0 are left out if others are not finished; if their command or a file of it changed, they run.
fail() { echo "${0##*/}: $1" >&2; exit 2; }
unset options; declare -A options=()
more=() numbers=("") jobs=()
while [[ ${1:-} == --* ]]; do
  name=${1#--} name=${name%%=*} name=${name//_/-}
  if [[ $name =~ ^(mem|gpu|num-threads|time|max-jobs(-run)?|nodes|config)$ ]]; then
    if [[ $1 == *=* ]]; then value=${1#*=}; else value=${2-}; shift; fi
    [[ $name =~ ^(mem|time|config)$ || $value =~ ^[0-9]+$ ]] || fail "--$name $value: not a number"
    options[${name/%jobs/jobs-run}]=$value
  elif [[ $1 == *=* ]]; then more+=("$1")
  else fail "$1: known are --mem --gpu --num-threads --time --max-jobs-run --nodes --config"; fi
  shift
done
if [[ ${1:-} == JOB=* ]]; then
  range=${1#JOB=}; shift
  if [[ $range =~ ^([0-9]+):([0-9]+)$ ]]; then
    mapfile -t numbers < <(seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
  else
    read -ra numbers <<<"$range"
  fi
  [[ ${numbers[*]} =~ ^[0-9]+(\ [0-9]+)*$ ]] ||
    fail "JOB=$range: expected JOB=1:N or numbers, for example JOB=\"1 3\""
fi
[ $# -ge 2 ] || fail "expected LOG COMMAND..."
log_name=$1; shift

replace() { # replace TEXT NUMBER: set REPLY to TEXT with the number in place of JOB
  local rest=$1
  REPLY=
  while [ -n "$2" ] && [[ $rest == *JOB* ]]; do
    REPLY+=${rest%%JOB*} rest=${rest#*JOB}
    if [[ $rest == [[:alnum:]_]* ]]; then REPLY+=JOB; else REPLY+=$2; fi
  done
  REPLY+=$rest
}
for_job() { # for_job NUMBER COMMAND...: set log, command, and heading, the first line of the log
  local number=$1 word
  replace "$log_name" "$number"; log=$REPLY command=()
  for word in "${@:2}"; do replace "$word" "$number"; command+=("$REPLY"); done
  printf -v heading ' %q' "${command[@]}"; heading="#$heading"
}
is_done() { # is_done NUMBER COMMAND...: it ended with code 0, after all of its files were written
  local word
  for_job "$@"
  [[ -f $log && $(head -n 1 "$log") == "$heading" ]] || return 1
  [[ $(tail -n 1 "$log") == "# ended "*" with code 0 after "* ]] || return 1
  for word in "${command[@]}"; do # a folder with the log in it is the job's own
    [[ $log == "${word%/}"/* || ! $word -nt $log ]] || return 1
  done
}
end_of() { # end_of LOG: print its last lines
  echo "the end of $1:"
  tail -n 30 "$1" 2>/dev/null | sed 's/^/  /'
}

finished=()
for number in "${numbers[@]}"; do
  if [ -n "$number" ] && is_done "$number" "$@"
  then finished+=("$number"); else jobs+=("$number"); fi
done
if [ ${#jobs[@]} -eq 0 ]; then # the stage was called again
  jobs=("${numbers[@]}")
elif [ ${#finished[@]} -gt 0 ]; then
  echo "${0##*/}: ended with code 0 before, by their logs, and not run again:" \
    "JOB=\"${finished[*]}\" of $log_name" >&2
fi
