//! The command line. Progress goes to standard error; standard output is for what was made.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::build_images::build_images;
use xtask::programs::Programs;
use xtask::step::step;
use xtask::workspace::repository;
use xtask::{chart, interrupt, runtime_default};

/// Makes the files and packages of this repository that a compiler alone does not.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the local cluster's programs into the cache
    Programs,
    /// Build our images for the nodes and write them as OCI archives
    Images {
        /// Output directory
        directory: PathBuf,
    },
    /// Check the chart in every way that needs no cluster
    Chart,
    /// Regenerate the files that third-party programs produce: the chart's README and the profile runtime-default
    Generate,
}

impl Task {
    fn perform(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Task::Programs => Programs::in_cache().build()?,
            Task::Images { directory } => {
                let built = step("build the images", || build_images(repository(), &directory));
                built
                    .map_err(|error| error.source)?
                    .iter()
                    .for_each(|archive| println!("{}", archive.display()));
            }
            Task::Chart => chart::check()?,
            Task::Generate => {
                chart::write_readme()?;
                runtime_default::write()?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::exit_code_of(|| cli.task.perform())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
