# Source this below a block of lines `name=value  # sentence`: --some-name VALUE sets some_name.
# A variable that is true or false needs no value; an array, name=(), can be given several times.
# --help prints the script's header and the block. Relative paths refer to the caller's directory.
# A script that declares the array `passed` gets the options that it does not know in it.
_fail() { echo "$0: $1. Options: $0 --help" >&2; exit 2; }
_block=$(sed -n -e '/^\. .*parse_options\.sh/q' -e '/^[a-z_]*=/p' "$0")
_recipe=$(cd "$(dirname "$0")" && pwd -P) _recipe=${_recipe%/local} _word='[^[:space:]=]+'
if [ "$PWD" -ef "$_recipe" ]; then _caller=; else _caller=$PWD/; fi
while [ $# -gt 0 ]; do
  _name=${1#--} _name=${_name//-/_} _value=${2-}
  if [[ $1 =~ ^(--help|-h)$ ]]; then
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"; echo
    sed -e h -e 's/=.*//;s/_/-/g' -e G -e 's/\n[a-z_]*=/ /;s/^/  --/;s/ ()/   /' <<<"$_block"
    exit
  elif ! [[ $1 =~ ^--[a-z_-]+$ && $'\n'$_block == *$'\n'$_name=* ]]; then
    if [[ $(declare -p passed 2>&1) == "declare -a"* ]]; then passed+=("$1"); shift; continue; fi
    case $1 in
      --systems | --other-folds)
        _fail "$1: use local/run_systems.sh --systems \"...\" --folds \"...\"" ;;
      --quick) _fail "--quick: use --config conf/quick.yaml --folds \"1 2\"" ;;
      *) _fail "unknown option $1" ;;
    esac
  elif [[ ${!_name-} =~ ^(true|false)$ && ! $_value =~ ^(true|false)$ ]]; then
    printf -v "$_name" true; shift; continue
  fi
  [ $# -gt 1 ] || _fail "$1 needs a value"
  [[ ! ${!_name-} =~ ^[0-9]+$ || $_value =~ ^[0-9.]+$ ]] || _fail "$1 $2: not a number"
  [[ $_value =~ ^(/.*|none|live)?$ ]] || case $_name in
    corpus|list|refs|gigaspeech|recordings|dump|librispeech|speechocean|models) _value=$_caller$2 ;;
    config | init | model)
      [[ -e $_recipe/../../serdesc/builtin/$2 || ! -e $2 ]] || _value=$_caller$2 ;;
  esac
  [[ ! $_value =~ JOB([^A-Za-z0-9_]|$) ]] ||
    _fail "$1 $_value: JOB is replaced by the job's number in log names and commands; rename it"
  if [[ ! $'\n'$_block == *$'\n'$_name=\(\)* ]]; then printf -v "$_name" %s "$_value"
  elif [[ " $_value" =~ [[:space:]]$_word([[:space:]]|$) ]]; then eval "$_name+=(\"\$_value\")"
  else read -rd '' -a _words <<<"$_value" || eval "$_name+=(\"\${_words[@]}\")"; fi
  shift 2
done
