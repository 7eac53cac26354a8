//! Scripts: their interpreter, and the words of shell scripts that may be programs.

/// Bytes of the first line that the kernel reads (`BINPRM_BUF_SIZE` of Linux 5.1 and newer).
const FIRST_LINE: usize = 256;
/// Interpreters whose scripts name programs as words.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

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
        self.arguments.iter().map(String::as_str).find(|it| !it.starts_with('-') && !it.contains('='))
    }
}

/// Whether a program is a shell, by its name.
pub(crate) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&name(program))
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
}
