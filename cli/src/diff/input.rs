//! Where the two profiles are: in files or in the cluster.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kube::Client;
use profile::Profile;

use crate::error::CliError;
use crate::manifest::{DocumentError, profile_in, profiles_in};
use crate::read;
use crate::sources::name_in_cluster;

/// Where a profile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// In a file; `-` is standard input.
    File(PathBuf),
    /// The profile of this name in the cluster.
    Cluster(String),
}

/// A profile, with its name for the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProfile {
    /// The name of the profile, or of the file.
    pub name: String,
    /// The profile.
    pub profile: Profile,
}

impl Input {
    /// What an argument names, as in [`crate::sources`].
    ///
    /// # Errors
    /// There is no such file.
    pub fn of(argument: &Path) -> Result<Self, CliError> {
        Ok(name_in_cluster(argument)?.map_or_else(|| Self::File(argument.to_owned()), Self::Cluster))
    }
}

/// The two profiles, if both are in files.
///
/// # Errors
/// A file cannot be read or contains no valid profile.
pub fn load_files(inputs: &[Input; 2]) -> Result<Option<[NamedProfile; 2]>, CliError> {
    let [Input::File(before), Input::File(after)] = inputs else { return Ok(None) };
    let texts = [read_file(before)?, read_file(after)?];
    Ok(Some([load(before, &texts[0], &texts[1])?, load(after, &texts[1], &texts[0])?]))
}

/// The two profiles, from files and from the cluster.
///
/// # Errors
/// A file or the cluster cannot be read, or there is no valid profile.
pub async fn load_all(inputs: &[Input; 2], client: &Client) -> Result<[NamedProfile; 2], CliError> {
    if let Some(profiles) = load_files(inputs)? {
        return Ok(profiles);
    }
    let [before, after] = inputs;
    Ok([load_one(before, after, client).await?, load_one(after, before, client).await?])
}

async fn load_one(input: &Input, other: &Input, client: &Client) -> Result<NamedProfile, CliError> {
    match input {
        Input::File(path) => {
            let wanted = if let Input::Cluster(name) = other { name.as_str() } else { "" };
            parse(path, &read_file(path)?, wanted)
        }
        Input::Cluster(name) => {
            let profile = read::profile(client, name).await?.profile();
            let profile = profile.map_err(|error| CliError::Stored { name: name.clone(), error })?;
            Ok(NamedProfile { name: name.clone(), profile })
        }
    }
}

/// The profile in a file; of several, the one that is named like the one in the other file.
fn load(path: &Path, text: &str, other: &str) -> Result<NamedProfile, CliError> {
    match parse(path, text, "") {
        Err(CliError::Document { error: DocumentError::Several { .. }, .. }) => {
            let wanted = match profiles_in(other).as_deref() {
                Ok([only]) => only.name.clone(),
                _ => None,
            };
            parse(path, text, wanted.as_deref().unwrap_or("like the other profile"))
        }
        found => found,
    }
}

fn parse(path: &Path, text: &str, wanted: &str) -> Result<NamedProfile, CliError> {
    let profile =
        profile_in(text, wanted).map_err(|error| CliError::Document { path: path.to_owned(), error })?;
    Ok(NamedProfile { name: path.display().to_string(), profile })
}

/// The text of a file, or of standard input.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<String, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| CliError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_a_file_if_there_is_one_or_else_a_name() {
        let input = |argument: &str| Input::of(Path::new(argument));
        assert_eq!(input("Cargo.toml").unwrap(), Input::File("Cargo.toml".into()));
        assert_eq!(input("-").unwrap(), Input::File("-".into()));
        assert_eq!(input("web").unwrap(), Input::Cluster("web".to_owned()));
        assert_eq!(input("seccompprofile/web").unwrap(), Input::Cluster("web".to_owned()));
        assert_eq!(input("./no/such/file").unwrap_err().reason(), "File");
    }

    #[test]
    fn of_several_profiles_in_a_file_the_one_named_like_the_other_is_meant() {
        let object = |name: &str, action: &str| {
            format!(
                "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata: {{ name: {name} }}\nspec: {{ contents: {{ defaultAction: SCMP_ACT_{action} }} }}\n---\n"
            )
        };
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Input::File(path)
        };
        let several = file("several", &(object("a", "LOG") + &object("b", "ERRNO")));
        let one = file("one", &object("b", "ALLOW"));
        let plain = file("plain", "defaultAction: SCMP_ACT_LOG");
        let found = load_files(&[several.clone(), one]).unwrap().unwrap();
        assert_eq!(found[0].profile.default_action(), profile::Action::Errno);
        let error = load_files(&[plain, several]).unwrap_err().to_string();
        assert!(
            error.ends_with("several SeccompProfiles (a, b), none of them named like the other profile"),
            "{error}"
        );
        assert_eq!(load_files(&[Input::Cluster("web".to_owned()), Input::File("-".into())]).unwrap(), None);
    }
}
