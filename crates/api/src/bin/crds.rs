//! `crds`: prints the CustomResourceDefinitions; `crds DIR` writes them as files into DIR.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    for (name, text) in api::crds::files()? {
        match &folder {
            Some(folder) => std::fs::write(folder.join(name), text)?,
            None => println!("---\n{text}"),
        }
    }
    Ok(())
}
