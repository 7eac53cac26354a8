//! What a cluster shows of the profiles: the objects ([`ProfileView`]), the ends of pods ([`PodEnd`]), the files on
//! the disks of local nodes ([`disk`]) and all of it as it changes ([`Watch`], [`Join`]).
//!
//! Read through kubectl and as plain JSON on purpose: the tests check what users and their scripts get, and
//! no type of the programs under test stands in between.

pub mod disk;
mod join;
mod pod;
mod profile;
mod watch;

pub use join::{Join, add_and_check_node};
pub use pod::PodEnd;
pub use profile::ProfileView;
pub use watch::{Event, Watch};
