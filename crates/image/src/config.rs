//! What a container of an image runs.

use registry::{Digest, DigestError};
use serde::Deserialize;

use crate::error::ImageError;

/// The architecture of the images that are read, as in the nodes' label `kubernetes.io/arch`.
pub const ARCHITECTURE: &str = "amd64";

/// What a container of an image runs, if nothing else is said, and how its programs are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The entry point and, behind it, the command: a program with its arguments.
    pub arguments: Vec<String>,
    /// The variable `PATH`, if the image sets it.
    pub path: Option<String>,
    /// The variable `LD_LIBRARY_PATH`, if the image sets it.
    pub library_path: Option<String>,
    /// The variable `LD_PRELOAD`, if the image sets it.
    pub preload: Option<String>,
    /// The working directory, with `/` if the image sets none.
    pub directory: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<Inner>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

impl Start {
    /// Reads the configuration of an image for x86_64 and Linux. Returns with it the digests of the layers without their
    /// compression, from the lowest; none if the image does not state them.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, Vec<Digest>), ImageError> {
        let read = serde_json::from_slice::<Config>(bytes);
        let malformed = |why: String| ImageError::Malformed { path: "the configuration".to_owned(), why };
        let Config { architecture, os, config, rootfs } =
            read.map_err(|error| malformed(error.to_string()))?;
        let is_known = |text: &str, wanted: &str| text.is_empty() || text == wanted;
        if !is_known(&architecture, ARCHITECTURE) || !is_known(&os, "linux") {
            return Err(ImageError::Platform(format!("{os}/{architecture}")));
        }
        let Inner { entrypoint, cmd, env, working_dir } = config.unwrap_or_default();
        let env = env.unwrap_or_default();
        let variable = |name: &str| {
            // Of several the last one counts, as runtimes have it.
            let mut values = env.iter().rev().filter_map(|it| it.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let digests = rootfs.and_then(|it| it.diff_ids).unwrap_or_default();
        let digests: Result<Vec<_>, _> = digests.iter().map(|it| it.parse()).collect();
        let digests = digests.map_err(|error: DigestError| malformed(format!("rootfs.diff_ids: {error}")))?;
        let start = Self {
            arguments: [entrypoint.unwrap_or_default(), cmd.unwrap_or_default()].concat(),
            path: variable("PATH"),
            library_path: variable("LD_LIBRARY_PATH"),
            preload: variable("LD_PRELOAD"),
            directory: working_dir.filter(|it| !it.is_empty()).unwrap_or_else(|| "/".to_owned()),
        };
        Ok((start, digests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_point_comes_before_the_command() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/entry.sh"],"Cmd":["nginx","-g"],
            "Env":["PATH=/a","PATH=/bin:/usr/bin","X=1"],"WorkingDir":"/srv"}}"#;
        let (start, digests) = Start::read(text).unwrap();
        assert_eq!(digests, []);
        assert_eq!(start.arguments, ["/entry.sh", "nginx", "-g"]);
        assert_eq!((start.path.as_deref(), &*start.directory), (Some("/bin:/usr/bin"), "/srv"));
        assert_eq!(Start::read(br#"{"config":{"Cmd":null}}"#).unwrap().0.arguments, [""; 0]);
    }

    #[test]
    fn an_image_for_another_platform_is_refused_with_its_name() {
        let error = Start::read(br#"{"architecture":"arm64","os":"linux"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the image is for linux/arm64; only linux/amd64 is read");
    }
}
