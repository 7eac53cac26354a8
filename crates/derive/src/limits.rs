//! Bounds of what is read and of what is computed, so that no input takes more than a known amount of memory or time.

/// Bytes of one file.
pub const OBJECT_BYTES: usize = 256 << 20;
/// Bytes of one script.
pub const SCRIPT_BYTES: usize = 1 << 20;
/// Programs that are derived together.
pub const PROGRAMS: usize = 256;
/// Bytes of all files of one program.
pub const CLOSURE_BYTES: usize = 384 << 20;
/// Files of one program: itself, its loader, libraries, modules.
pub const OBJECTS: usize = 1024;
/// Program headers of one file.
pub const SEGMENTS: usize = 256;
/// Section headers of one file.
pub const SECTIONS: usize = 1 << 16;
/// Entries of the dynamic table of one file.
pub const DYNAMIC_ENTRIES: usize = 4096;
/// Symbols of one table of one file.
pub const SYMBOLS: usize = 4 << 20;
/// Relocations of one file.
pub const RELOCATIONS: usize = 4 << 20;
/// Functions with unwind information of one file.
pub const UNWOUND_FUNCTIONS: usize = 2 << 20;
/// The highest address that a file may ask for, so that files do not overlap in the address space.
pub const HIGHEST_ADDRESS: u64 = 1 << 40;
/// Instructions that are decoded for one program.
pub const INSTRUCTIONS: usize = 64 << 20;
/// Instructions of one function whose numbers are followed through.
pub const FUNCTION_INSTRUCTIONS: usize = 1 << 18;
/// Entries of one jump table.
pub const TABLE_ENTRIES: usize = 4096;
/// Instructions of all functions whose numbers are followed through.
pub const FOLLOWED_INSTRUCTIONS: usize = 1 << 22;
/// Instructions of the functions that are kept in memory for numbers to be followed through; they are decoded anew when
/// they are asked for again.
pub const KEPT_INSTRUCTIONS: usize = 1 << 19;
/// Instructions that are decoded anew for the numbers of one program, or for the names of what it opens, finds or starts.
pub const INSTRUCTIONS_AGAIN: usize = 1 << 26;
/// Calls of functions that are still to be gone back to for one number.
pub const OPEN_SITES: usize = 1 << 22;
/// How many instructions of known functions one counts for that is found by descending: these are kept in a tree, and
/// several functions may share them.
pub const COST_OF_DESCENDING: usize = 8;
/// How often all instructions that a function may have are listed while it is descended through: a list shows tables,
/// which lead to more instructions.
pub const ROUNDS_OF_DESCENDING: usize = 8;
/// Instructions that are gone back through for one number.
pub const STEPS: usize = 1 << 17;
/// Instructions that are gone back through for the name of a library or function.
pub const NAME_STEPS: usize = 1 << 12;
/// Instructions that are gone back through for all numbers of one program.
pub const ALL_STEPS: usize = 1 << 23;
/// Nested calculations of one number.
pub const DEPTH: usize = 24;
/// Values that one register can have before it counts as unbounded.
pub const VALUES: usize = 512;
/// Highest number that a call can have; larger ones do not exist on the architecture.
pub const HIGHEST_NUMBER: u64 = 1023;
/// Files with directories of libraries (`ld.so.conf`), with those that they include.
pub const CONFIGURATION_FILES: usize = 64;
