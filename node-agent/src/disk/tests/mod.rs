//! What is done about a name, and the directory with failing system calls.

use super::*;

mod decide;
mod directory;
