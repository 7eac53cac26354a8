//! For which platforms an image is.

use crate::document::{Descriptor, Index};

/// An architecture, as in the nodes' label `kubernetes.io/arch`.
pub type Architecture = String;

/// The most platforms whose manifests are read.
const MOST: usize = 16;

/// An index has no manifest for Linux on one of the architectures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the image has no manifest for linux/{}", if architectures.is_empty() { "any architecture".to_owned() } else { architectures.join(", linux/") })]
pub struct NoPlatform {
    /// The architectures.
    pub architectures: Vec<Architecture>,
}

/// The manifests of an index for Linux on these architectures, or on all if none is given. For one architecture there may
/// be several, for variants of it. At most sixteen are returned.
///
/// # Errors
/// There is none.
pub fn platforms<'a>(
    index: &'a Index,
    architectures: &[Architecture],
) -> Result<Vec<&'a Descriptor>, NoPlatform> {
    let is_wanted = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|platform| {
            let is_known = !matches!(&*platform.architecture, "" | "unknown");
            let is_one = architectures.is_empty() || architectures.contains(&platform.architecture);
            platform.os == "linux" && is_known && is_one
        })
    };
    let found: Vec<_> = index.manifests.iter().filter(is_wanted).take(MOST).collect();
    if found.is_empty() { Err(NoPlatform { architectures: architectures.to_vec() }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn attestations_and_other_systems_are_no_platforms() {
        let entry = |os: &str, architecture: &str| {
            let digest = crate::Digest::of(format!("{os}/{architecture}").as_bytes());
            format!(
                r#"{{"digest":"{digest}","size":1,"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
            )
        };
        let entries = [
            entry("linux", "amd64"),
            entry("unknown", "unknown"),
            entry("windows", "amd64"),
            entry("linux", "arm64"),
            format!(r#"{{"digest":"{}","size":1}}"#, crate::Digest::of(b"x")),
        ];
        let text = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
        let Ok(Document::Index(index)) = Document::read(text.as_bytes(), None) else { panic!("an index") };
        let of = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|it| (*it).to_owned()).collect();
            let found = platforms(&index, &wanted)?;
            Ok(found.iter().map(|it| it.platform.clone().unwrap().architecture).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]).unwrap(), ["amd64", "arm64"]);
        assert_eq!(of(&["arm64"]).unwrap(), ["arm64"]);
        let error: NoPlatform = of(&["s390x"]).unwrap_err();
        assert_eq!(error.to_string(), "the image has no manifest for linux/s390x");
    }
}
