# Source this in local/run_systems.sh: the systems of a sweep. Call it in the recipe's directory.
system_files() { # system_files PATTERN: print the files of the systems that the pattern matches
  local folder file
  for folder in ../../serdesc "${SERDESC_PLUGINS:-/nonexistent}"; do
    for file in "$folder"/systems/$1.yaml; do
      [ ! -e "$file" ] || echo "$file"
    done
  done
}
list_systems() { # list_systems "NAMES" | all: print one name a line; fail if a system is unknown
  local known name
  known=$(system_files '*' | sed 's|.*/||; s|\.yaml$||')
  for name in $([ "$1" = all ] && echo "$known" || echo "$1"); do
    grep -qx -- "$name" <<<"$known" ||
      fail "$name: no such configuration file, nor a system. Known: ${known//$'\n'/ }"
    echo "$name"
  done
}
encoder_of() { # encoder_of SYSTEM: print the name of its encoder where it is not the recipe's
  local file
  system_files "$1" | while IFS= read -r file; do
    awk '/^[^ #]/ {inside = /^encoder:/}
      inside && match($0, /model: *[^ ,}]+/) {
        name = substr($0, RSTART + 6, RLENGTH - 6)
        sub(/\/$/, "", name); sub(/.*[\/ ]/, "", name); print name; exit
      }' "$file"
  done
}
