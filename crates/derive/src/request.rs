//! What is derived of one program.

/// What is derived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The program, as a path in the root.
    pub program: String,
    /// Directories of libraries that come before all others, as with `LD_LIBRARY_PATH`.
    pub directories: Vec<String>,
    /// Libraries that the program opens although their names are no constants: paths in the root, or names.
    pub modules: Vec<String>,
    /// Libraries that are loaded before all others, as with `LD_PRELOAD`: paths in the root, or names.
    pub preload: Vec<String>,
    /// Whether the values of arguments are looked for.
    pub examine_arguments: bool,
}
