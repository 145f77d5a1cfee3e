# The floors of src/, from the ground up: a folder uses only what stands on a lower floor, or itself.
# Call: find src -name '*.rs' | xargs awk -f .ci/floors.awk
# It reads `crate::folder` and the members of `use crate::{..}`; comments may speak of any folder.
BEGIN {
    split("rules:0 clock:1 header_map:1 outcome:1 timer:1 stats:2 store:2 trace:2 validators:3 body:4 exchange:5 axum:6 client:6 conditional:6 precondition:6", list, " ")
    for (i in list) { split(list[i], pair, ":"); floor[pair[1]] = pair[2] }
}
FNR == 1 { read_file(); file = FILENAME; text = "" }
!/^ *\/\// { text = text " " $0 }
END { read_file(); exit failed }

function read_file(   rest, depth, i, c, word) {
    rest = text
    while (match(rest, /crate::/)) {
        rest = substr(rest, RSTART + RLENGTH)
        if (substr(rest, 1, 1) != "{") {
            match(rest, /^[A-Za-z_]+/)
            check(substr(rest, 1, RLENGTH))
            continue
        }
        depth = 0
        word = ""
        for (i = 1; i <= length(rest); i++) {
            c = substr(rest, i, 1)
            if (c == "{") { depth++; continue }
            if (c == "}" && --depth == 0) break
            # The first name of a member counts, up to what follows it.
            if (depth == 1 && c ~ /[A-Za-z_]/ && word !~ / $/) word = word c
            else if (depth == 1 && c == ",") { check(word); word = "" }
            else if (depth == 1 && word != "" && word !~ / $/) word = word " "
        }
        check(word)
    }
}

function check(used,   own) {
    own = file
    sub(/^src\//, "", own)
    sub(/[\/.].*/, "", own)
    sub(/ $/, "", used)
    if (own != used && (used in floor) && (own in floor) && floor[used] >= floor[own]) {
        print file " uses crate::" used ", which is not below it"
        failed = 1
    }
}
