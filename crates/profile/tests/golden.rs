//! The canonical bytes are frozen: a node counts as ready only when the hash on its disk equals the operator's, so a
//! release that writes other bytes for the same profile turns every node unready.
//!
//! `tests/golden/NAME.in.json` is the input, `NAME.canonical.json` the exact canonical bytes and `NAME.hash` their
//! hash. To add a case, write the first and run with `UPDATE_GOLDEN=1`; never do that to change one.

use std::fs;
use std::path::Path;

use profile::Profile;

#[test]
fn canonical_bytes_and_hashes_never_change() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let input = entry.unwrap().path();
        let Some(stem) = input.to_str().and_then(|path| path.strip_suffix(".in.json")) else { continue };
        let canonical = Profile::from_slice(&fs::read(&input).unwrap()).unwrap().canonical();
        let (bytes_file, hash_file) = (format!("{stem}.canonical.json"), format!("{stem}.hash"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !Path::new(&bytes_file).exists() {
            fs::write(&bytes_file, canonical.bytes()).unwrap();
            fs::write(&hash_file, format!("{}\n", canonical.hash())).unwrap();
        }
        assert_eq!(
            String::from_utf8_lossy(&fs::read(&bytes_file).unwrap()),
            String::from_utf8_lossy(canonical.bytes()),
            "{stem}"
        );
        assert_eq!(fs::read_to_string(&hash_file).unwrap().trim(), canonical.hash().to_string(), "{stem}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} golden profiles in {}", folder.display());
}
