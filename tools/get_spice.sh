#!/usr/bin/env bash
# Put the jars that SPICE parses with where serdesc looks for them; call it once, where there is internet.
#   tools/get_spice.sh                     through Maven's client where it is installed, else pycocoevalcap's own download
#   tools/get_spice.sh --from ~/jars       from a folder that has them
# Options: --from DIR --to DIR (default tools/spice)
from=
to="$(cd "$(dirname "$0")" && pwd)/spice"
. "$(dirname "$0")/../utils/parse_options.sh"
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# name, Maven artifact, sha256 of each file that serves
wanted() {
  cat <<'LIST'
stanford-corenlp-3.6.0.jar edu.stanford.nlp:stanford-corenlp:3.6.0:jar d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742
stanford-corenlp-3.6.0-models.jar edu.stanford.nlp:stanford-corenlp:3.6.0:jar:models d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd
rhino-1.7.14.jar org.mozilla:rhino:1.7.14:jar -
LIST
}
sound() { [ "$2" = - ] || echo "$2  $1" | sha256sum --check --status; }
mkdir -p "$to"
missing=0
while read -r name artifact sum; do
  if [ -f "$to/$name" ] && sound "$to/$name" "$sum"; then echo "$name: there"; continue; fi
  found=
  if [ -n "$from" ]; then
    for file in "$from/$name" "$from/${name%.jar}"*.jar; do [ ! -f "$file" ] || { found=$file; break; }; done
  elif command -v mvn >/dev/null; then
    mvn -q dependency:copy -Dartifact="$artifact" -DoutputDirectory="$to" && found="$to/$name"
  elif [[ $name == stanford* ]]; then
    "$here/venv/bin/python" -c 'from pycocoevalcap.spice.get_stanford_models import get_stanford_models as get; get()'
    found=$("$here/venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("pycocoevalcap").submodule_search_locations[0])')/spice/lib/$name
  fi
  if [ -z "$found" ] || [ ! -f "$found" ]; then
    echo "$0: no $name${from:+ in $from}: fetch the Maven artifact $artifact where there is internet, and call again with --from DIR" >&2; missing=1; continue
  fi
  [ "$found" -ef "$to/$(basename "$found")" ] || cp "$found" "$to/"
  if [ "$(basename "$found")" = "$name" ] && ! sound "$to/$name" "$sum"; then
    rm -f "$to/$name"; echo "$0: $found is not the file that was published (sha256 differs): fetch it again" >&2; missing=1; continue
  fi
  echo "$(basename "$found"): put into $to"
done < <(wanted)
exit $missing
