#!/usr/bin/env bash
# Put the jars that SPICE parses with where serdesc looks for them; call it once, where there is internet. Debian has rhino as librhino-java.
#   tools/get_spice.sh                     through Maven's client where it is installed, else pycocoevalcap's own download, which lacks rhino
#   tools/get_spice.sh --from ~/jars       from a folder that has them
from=  # directory that has the jars
to=    # directory to put them in; default: tools/spice
. "$(dirname "$0")/../utils/parse_options.sh"
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=${to:-$here/spice}
# names, Maven artifact, sha256 of each file that serves: as Maven Central has it; the models' part that SPICE opens; Debian's librhino-java
wanted() {
  cat <<'LIST'
stanford-corenlp-3.6.0.jar edu.stanford.nlp:stanford-corenlp:3.6.0:jar d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742
stanford-corenlp-3.6.0-models*.jar edu.stanford.nlp:stanford-corenlp:3.6.0:jar:models d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd,f9d3999ba70c307c3101feea0ab1f5168e63d959ed142eab5ed4585397bc96f5
rhino*.jar org.mozilla:rhino:1.7.14:jar c9290b0d801bf0dbbbc44338e0f769b7650a0c5d04e6bb1aeb85775c0211b003,392eee6ee6bc81158c483ca24fedf431f40c06fe39b501ea0424c9348a41a34f
LIST
}
# sound|unsound DIR NAMES SUMS: the files of these names that are, or are not, as they were published
files() {
  local file sum
  for file in "$2"/$3; do
    [ -f "$file" ] || continue
    sum=$(sha256sum <"$file")
    case ",$4," in *",${sum%% *},"*) [ "$1" != sound ] || echo "$file" ;; *) [ "$1" != unsound ] || echo "$file" ;; esac
  done
}
# ARTIFACT DIR
fetch() {
  if command -v mvn >/dev/null && mvn -q dependency:copy -Dartifact="$1" -DoutputDirectory="$2"; then return; fi
  [[ $1 != org.mozilla* ]] || return 0  # which pycocoevalcap does not fetch
  "$here/venv/bin/python" -c 'from pycocoevalcap.spice.get_stanford_models import get_stanford_models as get; get()'
  ln -s "$("$here/venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("pycocoevalcap").submodule_search_locations[0])')"/spice/lib/stanford-corenlp-3.6.0*.jar "$2"
}
mkdir -p "$to"
made=$(mktemp -d "$to/.fetch.XXXXXX")
trap 'rm -rf "$made" "$to/.part"' EXIT
missing=0
while read -r names artifact sums; do
  bad=$(files unsound "$to" "$names" "$sums")
  if [ -n "$bad" ]; then echo "$0: not the file that was published (its sha256 differs): remove it and call again: $bad" >&2; missing=1; continue; fi
  found=$(files sound "$to" "$names" "$sums" | head -n 1)
  if [ -n "$found" ]; then echo "$(basename "$found"): there"; continue; fi
  [ -n "$from" ] || fetch "$artifact" "$made" </dev/null || true
  found=$(files sound "${from:-$made}" "$names" "$sums" | head -n 1)
  if [ -z "$found" ]; then
    bad=$(files unsound "${from:-$made}" "$names" "$sums" | tr '\n' ' ')
    [ -z "$bad" ] || echo "$0: not taken, for the sha256 is not that of the file that was published: $bad" >&2
    echo "$0: no $names${from:+ in $from}: fetch the Maven artifact $artifact where there is internet, and call again with --from DIR" >&2; missing=1; continue
  fi
  cp "$found" "$to/.part"
  mv "$to/.part" "$to/$(basename "$found")"
  echo "$(basename "$found"): put into $to"
done < <(wanted)
exit $missing
