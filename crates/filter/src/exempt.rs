//! Calls that no filter decides.

/// Whether the kernel makes a call of this name around every filter, so that no rule has an effect on it.
///
/// Linux 6.18 does so with the two calls by which it traces functions of programs (measured); it inserts them into a program
/// itself, so that the program's author cannot know of them.
#[must_use]
pub fn is_exempt(name: &str) -> bool {
    matches!(name, "uprobe" | "uretprobe")
}
