# Source this in local/run_systems.sh, in the recipe's directory: the systems of a sweep.
list_systems() { # list_systems "NAMES" | all: print one name a line; fail if a system is unknown
  local known name
  known=$(ls ../../serdesc/systems/*.yaml ${SERDESC_PLUGINS:+"$SERDESC_PLUGINS"/systems/*.yaml} \
    2>/dev/null | sed 's|.*/||; s|\.yaml$||')
  if [ "$1" = all ]; then echo "$known"; return; fi
  for name in $1; do
    grep -qx -- "$name" <<<"$known" ||
      fail "$name: no such configuration file, nor a system (known: $(echo $known))"
    echo "$name"
  done
}
encoder_of() { # encoder_of SYSTEM: print the name of its encoder if it is not the recipe's
  cat "../../serdesc/systems/$1.yaml" ${SERDESC_PLUGINS:+"$SERDESC_PLUGINS/systems/$1.yaml"} \
    2>/dev/null | awk '/^[^ #]/ {own = /^encoder:/}
      own && match($0, /model: *[^ ,}]+/) {
        name = substr($0, RSTART + 6, RLENGTH - 6); sub(/^ */, "", name); sub(/\/$/, "", name)
        sub(/.*\//, "", name); print name; exit}'
}
