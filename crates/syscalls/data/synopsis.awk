# From the synopsis of a manual page, a line for each function: the page, its name, and a field for each argument's name.
/^\.SH / { synopsis = $0 ~ /^\.SH SYNOPSIS/; open = 0 }
/\\$/ { joined = joined substr($0, 1, length($0) - 1); next }
{ $0 = joined $0; joined = "" }
synopsis && /^\.(BI|BR|B) / && !/^\.B[IR]? "?#/ {
    alternates = $1 == ".BI"
    text = substr($0, length($1) + 2) " "
    part = 1
    word = before = ""
    quoted = 0
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\"") { quoted = !quoted; continue }
        if (c != " " || quoted) { word = word c; continue }
        if (word == "") continue
        if (alternates && part % 2 == 0) {
            # In brackets is the length of an array, which is an argument itself.
            if (open && before !~ /\[\.?$/) { sub(/,$/, "", word); fields = fields "\t" word }
        } else {
            if (!open && match(word, /[a-z0-9_]+\(/)) {
                name = substr(word, RSTART, RLENGTH - 1)
                if (name == "syscall" && match(word, /SYS_[a-z0-9_]+/)) name = substr(word, RSTART + 4, RLENGTH - 4)
                fields = ""
                open = 1
            }
            # Arguments that only some calls have.
            if (open && word ~ /\.\.\./) fields = fields "\t..."
            if (open && word ~ /\);/) { print page "\t" name fields; open = 0 }
        }
        part++
        before = word
        word = ""
    }
}
