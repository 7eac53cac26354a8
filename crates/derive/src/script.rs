//! Scripts: their interpreter, and the words of shell scripts that may be programs.

/// Bytes of the first line that the kernel reads (`BINPRM_BUF_SIZE` of Linux 5.1 and newer).
const FIRST_LINE: usize = 256;
/// Interpreters whose scripts name programs as words.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];
/// Interpreters of other scripts.
const INTERPRETERS: [&str; 9] = ["python", "perl", "ruby", "node", "nodejs", "php", "lua", "tclsh", "java"];

/// The first line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    /// The path of the interpreter.
    pub(crate) interpreter: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

impl Script {
    /// The first line, if there is one for the kernel (`fs/binfmt_script.c`): `#!`, the interpreter, and an argument.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let line = bytes.get(..FIRST_LINE).unwrap_or(bytes).strip_prefix(b"#!")?;
        let line = line.split(|byte| *byte == b'\n').next()?;
        let text = String::from_utf8_lossy(line);
        // The kernel gives everything behind the interpreter as one argument; `env -S` splits it, and otherwise there is one word.
        let mut words = text.split_ascii_whitespace().map(str::to_owned);
        Some(Self { interpreter: words.next()?, arguments: words.collect() })
    }

    /// The program that `env` starts, if that is the interpreter.
    pub(crate) fn by_env(&self) -> Option<&str> {
        if name(&self.interpreter) != "env" {
            return None;
        }
        let mut words = self.arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-u" | "--unset" | "-C" | "--chdir" => _ = words.next(),
                // What is to be split is split already: its first word may be glued to the option.
                _ => {
                    let glued = word.strip_prefix("--split-string=").or_else(|| word.strip_prefix("-S"));
                    let word = glued.unwrap_or(word);
                    if !word.is_empty() && !word.starts_with('-') && !word.contains('=') {
                        return Some(word);
                    }
                }
            }
        }
        None
    }
}

/// Whether a program is a shell, by its name.
pub(crate) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&name(program))
}

/// Whether a program runs scripts that are not those of a shell, by its name, which may have a version.
pub(crate) fn is_interpreter(program: &str) -> bool {
    INTERPRETERS
        .contains(&name(program).trim_end_matches(|it: char| it.is_ascii_digit() || it == '.' || it == '-'))
}

/// Whether these are the first bytes of a text that is neither a program nor a script with an interpreter of its own.
pub(crate) fn is_plain_text(head: &[u8]) -> bool {
    !head.is_empty() && !head.contains(&0) && Script::read(head).is_none()
}

/// The files that a shell's script reads as parts of itself (`. FILE`, `source FILE`).
pub(crate) fn sourced(text: &str) -> Vec<&str> {
    let mut words =
        text.split(|it: char| it.is_whitespace() || ";&|(){}".contains(it)).filter(|it| !it.is_empty());
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "." | "source") {
            found.extend(words.next().map(|it| it.trim_matches(['"', '\''])));
        }
    }
    found
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The words of a shell's commands that could be names or paths of programs, in their order, each once. What is a comment
/// or quoted is not told apart: a word too many only permits more.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_./+-".contains(character);
    let mut words: Vec<&str> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for word in text.split(|character| !is_part(character)) {
        if !word.is_empty() && !word.starts_with('-') && known.insert(word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let read = |text: &str| Script::read(text.as_bytes());
        let plain = read("#! /bin/sh -eu\nexit").unwrap();
        assert_eq!((&*plain.interpreter, &*plain.arguments), ("/bin/sh", &["-eu".to_owned()][..]));
        assert_eq!(plain.by_env(), None);
        assert_eq!(read("#!/usr/bin/env -S A=b python3 -u\n").unwrap().by_env(), Some("python3"));
        for line in ["--split-string=python3 -u", "-Spython3 -u", "-S -u NAME -C /x python3", "-i python3"] {
            assert_eq!(
                read(&format!("#!/usr/bin/env {line}\n")).unwrap().by_env(),
                Some("python3"),
                "{line}"
            );
        }
        assert_eq!(read("#!\nx"), None);
        assert_eq!(read("exit"), None);
    }

    #[test]
    fn words_are_what_could_be_programs() {
        let text = "set -e\nif [ \"$1\" = nginx-debug ]; then exec /usr/sbin/nginx -g 'daemon off;' # why\nfi\nx=$(sort a|uniq)";
        assert_eq!(
            words(text),
            [
                "set",
                "if",
                "1",
                "nginx-debug",
                "then",
                "exec",
                "/usr/sbin/nginx",
                "daemon",
                "off",
                "why",
                "fi",
                "x",
                "sort",
                "a",
                "uniq"
            ]
        );
    }

    #[test]
    fn interpreters_are_known_by_their_names_with_versions() {
        assert!(
            ["/usr/bin/python3.11", "perl", "/opt/node", "lua5.4", "php8"].into_iter().all(is_interpreter)
        );
        assert!(["/usr/sbin/nginx", "sh", "pythonista"].into_iter().all(|it| !is_interpreter(it)));
    }

    #[test]
    fn what_a_script_reads_as_a_part_of_itself_is_found() {
        let text = ". /opt/lib.sh; [ -f x ] && source \"/etc/more\"\n./run . 'a b'";
        assert_eq!(sourced(text), ["/opt/lib.sh", "/etc/more", "a"]);
    }
}
