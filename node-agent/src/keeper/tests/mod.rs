//! The keeper on a real directory.

use super::*;

mod clock;
mod crash;
mod files;
mod links;
mod placements;
mod random;
mod recreated;
mod repairs;
mod replaced;
mod trouble;
