//! What the agent's full check of unchanged files takes: every byte is read and hashed, every minute.
//! `cargo bench -p bench --bench check`; it fails where a check takes more than the bar.

mod clock;

use std::error::Error;
use std::time::{Duration, Instant};

use node_agent::disk::Directory;
use node_agent::goal::Goal;
use node_agent::keeper::Keeper;

/// CPU time of one check of 1,000 files.
const BAR: Duration = Duration::from_millis(50);
/// How often the agent checks, as the chart has it.
const INTERVAL: Duration = Duration::from_mins(1);
const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<10}{:>8}{:>20}{:>20}", "files", "KB", "ms of CPU time", "% of a core");
    let mut missed = false;
    for (files, bytes) in [(100, 3_000), (1_000, 3_000), (1_000, 10_000)] {
        let root = tempfile::tempdir()?;
        let directory = Directory::open(&root.path().join("profiles"))?;
        let mut keeper = Keeper::new(directory);
        for file in 0..files {
            let bytes = vec![u8::try_from(file % 251)?; bytes];
            let goal = Goal::file(&bytes);
            keeper.set_goal(format!("profile-{file:04}").parse()?, goal, Instant::now());
        }
        keeper.list_complete();
        keeper.sync();
        assert_eq!(keeper.report().files.len(), files);
        let mut changed = false;
        let check = clock::least(ROUNDS, 1, || {
            keeper.check_all();
            changed |= keeper.sync().changed;
        });
        assert!(!changed, "the files were not unchanged");
        println!(
            "{files:<10}{:>8}{:>20.2}{:>20.4}",
            bytes / 1_000,
            check.as_secs_f64() * 1e3,
            100.0 * check.as_secs_f64() / INTERVAL.as_secs_f64()
        );
        missed |= check > BAR;
    }
    if missed { Err("a check takes more than the bar".into()) } else { Ok(()) }
}
