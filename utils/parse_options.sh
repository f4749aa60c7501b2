# Source this after setting defaults: --some-name value sets the variable some_name, --help prints the script's head.
# A switch whose default is true or false may stand without a value. What is left over stays in "$@".
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --*)
      name=${1#--}; name=${name//-/_}
      if ! [[ $name =~ ^[a-z_]+$ ]] || [ -z "${!name+set}" ]; then
        echo "$0: unknown option $1; see $0 --help" >&2; exit 2
      fi
      if [[ ${!name} =~ ^(true|false)$ && ! ${2:-} =~ ^(true|false)$ ]]; then
        printf -v "$name" true; shift
      elif [ $# -lt 2 ]; then
        echo "$0: $1 needs a value; see $0 --help" >&2; exit 2
      else
        printf -v "$name" %s "$2"; shift 2
      fi ;;
    *) break ;;
  esac
done
unset name
