//! From what an image starts to everything that is started in turn.

use std::collections::{BTreeSet, VecDeque};

use files::{Files, directory, resolve};

use crate::error::DeriveError;
use crate::limits;
use crate::note::{Because, Note};
use crate::program::derive;
use crate::request::Request;
use crate::result::{Derived, Started};
use crate::script::{Script, is_interpreter, is_plain_text, is_shell, sourced, words};

/// Where programs are looked for if `PATH` is not set: what containerd and Docker set then.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes that tell what a file is: the first line of a script and more.
const HEAD_BYTES: usize = 512;
/// The shell of the C library's `system` and `popen`.
const SHELL: &str = "/bin/sh";

/// What is derived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Following {
    /// Programs that are named: paths in the root, or names that are looked for in `path`.
    pub programs: Vec<String>,
    /// What a container runs: a program with its arguments. Of the arguments, those are taken for programs that are the
    /// path or the name of one, because an entry point often runs what follows it.
    pub arguments: Vec<String>,
    /// The variable `PATH`.
    pub path: Option<String>,
    /// The directory from which relative paths begin.
    pub directory: String,
    /// Directories of libraries that come before all others, as with `LD_LIBRARY_PATH`.
    pub directories: Vec<String>,
    /// Libraries that the programs open although their names are no constants.
    pub modules: Vec<String>,
    /// Libraries that are loaded before all others, as with `LD_PRELOAD`.
    pub preload: Vec<String>,
    /// Programs that are left out, although they may be started: paths or names.
    pub without: Vec<String>,
    /// Whether only the programs that are named are derived, and not what they start.
    pub only_named: bool,
    /// Whether the values of arguments are looked for.
    pub examine_arguments: bool,
}

/// All programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// In the order in which they were found.
    pub programs: Vec<Program>,
    /// What the profile may lack.
    pub notes: Vec<Note>,
}

/// A program that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it can do.
    pub derived: Derived,
    /// Why it may run.
    pub because: Because,
}

/// Derives the programs of a request and, unless they alone are asked for, all that they start by names that are known.
/// `progress` is called with each program before it is derived.
///
/// # Errors
/// A program that is named, or that a container runs, is not there; a program cannot be derived; or there are too many.
pub fn follow(
    files: &dyn Files,
    following: &Following,
    progress: &mut dyn FnMut(&str),
) -> Result<Followed, DeriveError> {
    let mut walk = Walk::new(files, following);
    for program in &following.programs {
        walk.require(program, Because::Named)?;
    }
    walk.arguments(&following.arguments, &Because::Image)?;
    while let Some((path, because)) = walk.left.pop_front() {
        if walk.programs.len() == limits::PROGRAMS {
            let (object, what) = (path, "programs that are started");
            return Err(DeriveError::TooLarge { object, what, limit: limits::PROGRAMS });
        }
        let step = match Script::read(&walk.head(&path)) {
            Some(script) => walk.interpret(&path, &script),
            None => walk.derive(&path, &because, progress),
        };
        match (step, &because) {
            // A word of a script need not be the name of a program there.
            (Err(error), Because::Script(_)) => {
                walk.notes.push(Note::LeftOut { program: path, because, why: error.to_string() });
            }
            (step, _) => step?,
        }
    }
    walk.notes.sort();
    walk.notes.dedup();
    Ok(Followed { programs: walk.programs, notes: walk.notes })
}

struct Walk<'a> {
    files: &'a dyn Files,
    following: &'a Following,
    /// The directories of `PATH`.
    path: Vec<String>,
    left: VecDeque<(String, Because)>,
    known: BTreeSet<String>,
    /// Words that were looked up.
    looked_up: BTreeSet<String>,
    programs: Vec<Program>,
    notes: Vec<Note>,
}

impl<'a> Walk<'a> {
    fn new(files: &'a dyn Files, following: &'a Following) -> Self {
        let path = following.path.as_deref().unwrap_or(DEFAULT_PATH);
        let path = path.split(':').filter(|it| it.starts_with('/')).map(str::to_owned).collect();
        Self {
            files,
            following,
            path,
            left: VecDeque::new(),
            known: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            programs: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A path in the root, of a path that may be relative.
    fn absolute(&self, path: &str) -> String {
        let from = if path.starts_with('/') { "" } else { &self.following.directory };
        format!("{from}/{path}").replace("//", "/")
    }

    /// The path of a program by a path or by a name, if there is a file.
    fn find(&self, name: &str) -> Option<String> {
        if name.contains('/') {
            let path = self.absolute(name);
            return resolve(self.files, &path).map(|_| path);
        }
        let mut places =
            self.path.iter().map(|directory| format!("{}/{name}", directory.trim_end_matches('/')));
        places.find(|path| resolve(self.files, path).is_some())
    }

    /// The first bytes of a file; none if it cannot be read.
    fn head(&self, path: &str) -> Vec<u8> {
        let path = resolve(self.files, path);
        path.and_then(|path| self.files.head(&path, HEAD_BYTES).ok()).unwrap_or_default()
    }

    fn add(&mut self, path: String, because: Because) {
        // A program is the same one under all its names.
        let resolved = resolve(self.files, &path).unwrap_or_else(|| path.clone());
        let is_named = |it: &String| *it == path || *it == resolved || path.rsplit('/').next() == Some(it);
        if self.following.without.iter().any(is_named) {
            self.notes.push(Note::LeftOut { program: path, because, why: "as was asked for".to_owned() });
        } else if self.known.insert(resolved) {
            self.left.push_back((path, because));
        }
    }

    /// A program without which nothing runs.
    fn require(&mut self, name: &str, because: Because) -> Result<(), DeriveError> {
        let Some(path) = self.find(name) else {
            let why = match &because {
                Because::Named => "no such file".to_owned(),
                because => format!("no such file, although it would run: {because}"),
            };
            return Err(DeriveError::Unreadable { object: name.to_owned(), why });
        };
        self.add(path, because);
        Ok(())
    }

    /// A program that is started, if it is there.
    fn start(&mut self, name: &str, because: Because) {
        match self.find(name) {
            Some(path) => self.add(path, because),
            None => self.notes.push(Note::Absent { program: name.to_owned(), because }),
        }
    }

    /// A program with its arguments. Each may be a program, a shell's command, or a script for the program before it: a word
    /// too many only permits more.
    fn arguments(&mut self, arguments: &[String], because: &Because) -> Result<(), DeriveError> {
        let Some((first, rest)) = arguments.split_first() else { return Ok(()) };
        self.require(first, because.clone())?;
        let mut interpreter = first.as_str();
        for argument in rest {
            if let Some(path) = self.find(argument) {
                let head = self.head(&path);
                match () {
                    () if is_program(&head) => interpreter = argument,
                    () if !is_plain_text(&head) => {}
                    () if is_shell(interpreter) => self.shell_script(&path, interpreter, because),
                    () if is_interpreter(interpreter) => {
                        let (script, interpreter) = (path, interpreter.to_owned());
                        self.notes.push(Note::OtherScript { script, interpreter });
                    }
                    () => {}
                }
            }
            self.word(argument, because);
            self.words(argument, because);
        }
        Ok(())
    }

    /// The words of a shell's command that are programs. Returns all words.
    fn words<'t>(&mut self, text: &'t str, because: &Because) -> Vec<&'t str> {
        let words = words(text);
        words.iter().for_each(|word| self.word(word, because));
        words
    }

    fn word(&mut self, word: &str, because: &Because) {
        if !self.looked_up.insert(word.to_owned()) {
            return;
        }
        if let Some(path) = self.find(word).filter(|path| is_program(&self.head(path))) {
            self.add(path, because.clone());
        }
    }

    /// A script for a shell: what its words name, what it reads as parts of itself, and the scripts in directories that it
    /// names.
    fn shell_script(&mut self, path: &str, interpreter: &str, because: &Because) {
        let is_followed = !self.following.only_named;
        let (script, interpreter) = (path.to_owned(), interpreter.to_owned());
        self.notes.push(Note::ShellScript { script, interpreter: interpreter.clone(), is_followed });
        let read = resolve(self.files, path).map(|path| self.files.read(&path, limits::SCRIPT_BYTES));
        let text = match read {
            Some(Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Some(Err(why)) => {
                let (program, because) = (path.to_owned(), because.clone());
                return self.notes.push(Note::LeftOut { program, because, why });
            }
            None => return,
        };
        if !is_followed {
            return;
        }
        let because = Because::Script(path.to_owned());
        let words = self.words(&text, &because);
        for part in sourced(&text) {
            let Some(part) = self.find(part) else { continue };
            if is_plain_text(&self.head(&part)) && self.looked_up.insert(format!(". {part}")) {
                self.shell_script(&part, &interpreter, &because);
            }
        }
        for directory in words.into_iter().filter(|it| it.starts_with('/')) {
            self.scripts_in(directory.trim_end_matches('/'), &because);
        }
    }

    /// The scripts in a directory that a script names: their names are often not in the script.
    fn scripts_in(&mut self, path: &str, because: &Because) {
        if path.is_empty() || self.path.iter().any(|it| it.trim_end_matches('/') == path) {
            return;
        }
        let Some(directory) = directory(self.files, path) else { return };
        for name in self.files.names(&directory) {
            let path = format!("{directory}/{name}");
            if Script::read(&self.head(&path)).is_some() {
                self.add(path, because.clone());
            }
        }
    }

    fn interpret(&mut self, path: &str, script: &Script) -> Result<(), DeriveError> {
        let because = Because::Interprets(path.to_owned());
        self.require(&script.interpreter, because.clone())?;
        let by_env = script.by_env();
        if let Some(interpreter) = by_env {
            self.require(interpreter, because.clone())?;
        }
        let interpreter = by_env.unwrap_or(&script.interpreter).to_owned();
        for argument in &script.arguments {
            self.word(argument, &because);
        }
        match is_shell(&interpreter) {
            true => self.shell_script(path, &interpreter, &because),
            false => self.notes.push(Note::OtherScript { script: path.to_owned(), interpreter }),
        }
        Ok(())
    }

    fn derive(
        &mut self,
        path: &str,
        because: &Because,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), DeriveError> {
        progress(path);
        let (directories, modules) = (self.following.directories.clone(), self.following.modules.clone());
        let (program, preload) = (path.to_owned(), self.following.preload.clone());
        let examine_arguments = self.following.examine_arguments;
        let derived =
            derive(self.files, &Request { program, directories, modules, preload, examine_arguments })?;
        if !self.following.only_named {
            for starts in &derived.starts {
                let because = Because::Program(derived.program.clone());
                match &starts.what {
                    // Either may have no slash: a path is relative then, and a name is looked for.
                    Started::Path(name) | Started::Name(name) if !name.is_empty() => {
                        self.start(name, because);
                    }
                    Started::Path(_) | Started::Name(_) => {}
                    Started::Command(command) => {
                        self.start(SHELL, because.clone());
                        self.words(command, &because);
                    }
                }
            }
        }
        self.programs.push(Program { derived, because: because.clone() });
        Ok(())
    }
}

/// Whether these are the first bytes of a program or of a script.
fn is_program(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF") || Script::read(head).is_some()
}
