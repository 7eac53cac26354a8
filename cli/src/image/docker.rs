//! Logins from Docker's configuration and its credential helpers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use registry::{Keyring, Login, Logins, PullSecret, Repository};
use serde::Deserialize;

use crate::image_error::ImageError;

/// What Docker calls Docker Hub in its configuration.
const HUB: &str = "https://index.docker.io/v1/";
/// The most bytes that are read from a helper.
const LARGEST: u64 = 64 * 1024;
/// The user name with which a helper marks a refresh token.
const TOKEN: &str = "<token>";

/// The logins of Docker's configuration.
#[derive(Debug, Default)]
pub(crate) struct DockerConfig {
    /// Those in the file itself. They are chosen as the kubelet chooses, which finds whatever Docker finds.
    keyring: Keyring,
    /// Refresh tokens in the file, by the key.
    tokens: BTreeMap<String, Login>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
    remarks: RefCell<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// The configuration of the user: in `DOCKER_CONFIG`, or in `.docker` of the home directory. Without a file there are no
    /// logins.
    pub(crate) fn read() -> Result<Self, ImageError> {
        let folder = match std::env::var_os("DOCKER_CONFIG").filter(|it| !it.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => match std::env::var_os("HOME") {
                Some(home) => Path::new(&home).join(".docker"),
                None => return Ok(Self::default()),
            },
        };
        let path = folder.join("config.json");
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes).map_err(|why| ImageError::Docker { path, why }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ImageError::Docker { path, why: error.to_string() }),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        // No message of the parser: it could show a part of a password.
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            format!("it is not valid in line {}, column {}", error.line(), error.column())
        })?;
        let keyring = Keyring::new(&[PullSecret::DockerConfigJson(bytes)])
            .map_err(|error| error.problem.to_string())?;
        let token = |entry: Option<Entry>| entry.and_then(|it| it.identitytoken).filter(|it| !it.is_empty());
        let tokens = file.auths.unwrap_or_default().into_iter();
        let tokens = tokens
            .filter_map(|(key, entry)| Some((key, Login::RefreshToken(token(entry)?.into()))))
            .collect();
        Ok(Self {
            keyring,
            tokens,
            helpers: file.cred_helpers.unwrap_or_default(),
            store: file.creds_store.filter(|it| !it.is_empty()),
            remarks: RefCell::default(),
        })
    }

    /// What could not be used.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.remarks.borrow().clone()
    }

    /// An error of what was done with these logins, and which of them could not be used.
    pub(crate) fn explained(&self, error: ImageError) -> ImageError {
        match self.remarks() {
            remarks if remarks.is_empty() => error,
            remarks => ImageError::WithoutLogins { error: Box::new(error), remarks },
        }
    }

    /// The login that a helper has for a registry.
    fn ask(&self, helper: &str, registry: &str) -> Option<Login> {
        match ask(helper, registry) {
            Ok(login) => login,
            Err(why) => {
                let remark = format!("docker-credential-{helper} gives no login for {registry}: {why}");
                let mut remarks = self.remarks.borrow_mut();
                if !remarks.contains(&remark) {
                    remarks.push(remark);
                }
                None
            }
        }
    }
}

impl Logins for DockerConfig {
    fn for_repository(&self, repository: &Repository) -> Vec<Login> {
        let registry = if repository.domain() == "docker.io" { HUB } else { repository.domain() };
        let helper = self.helpers.get(registry).or(self.store.as_ref());
        if let Some(login) = helper.and_then(|helper| self.ask(helper, registry)) {
            return vec![login];
        }
        let is_of = |key: &str| {
            let bare = key.trim_start_matches("https://").trim_start_matches("http://");
            key == registry || bare.split('/').next() == Some(registry)
        };
        if let Some((_, token)) = self.tokens.iter().find(|(key, _)| is_of(key)) {
            return vec![token.clone()];
        }
        self.keyring.for_repository(repository)
    }
}

/// Asks a helper (`docker-credential-helpers`): it reads a registry and answers with a name and a secret.
fn ask(helper: &str, registry: &str) -> Result<Option<Login>, String> {
    let is_name = !helper.is_empty()
        && helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        return Err("its name is not that of a helper".to_owned());
    }
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(mut stdin) = stdin {
        // A helper that does not read it answers nothing.
        let _ = stdin.write_all(registry.as_bytes());
    }
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        let _ = stdout.take(LARGEST).read_to_end(&mut answer);
    }
    let ended = child.wait().map_err(|error| error.to_string())?;
    understood(ended.success(), &answer)
}

/// What a helper's answer means.
fn understood(success: bool, answer: &[u8]) -> Result<Option<Login>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    if !success {
        let text = String::from_utf8_lossy(answer);
        // The only failure that is none, by its text (`errCredentialsNotFoundMessage`).
        return match text.contains("credentials not found") {
            true => Ok(None),
            false => Err("it failed".to_owned()),
        };
    }
    let Answer { username, secret } =
        serde_json::from_slice(answer).map_err(|_| "its answer is not that of a helper".to_owned())?;
    Ok(Some(match username == TOKEN {
        true => Login::RefreshToken(secret.into()),
        false => Login::user(&username, &secret),
    }))
}

#[cfg(test)]
mod tests {
    use registry::Reference;

    use super::*;

    fn logins(config: &str, image: &str) -> Vec<Login> {
        let config = DockerConfig::parse(config.as_bytes()).unwrap();
        config.for_repository(Reference::parse(image).unwrap().repository())
    }

    #[test]
    fn logins_and_refresh_tokens_in_the_file_are_found_by_their_registry() {
        let config = r#"{"auths":{
            "a.example": {"auth":"dTpw"},
            "https://b.example/v2/": {"auth":"dTpw","identitytoken":"t"},
            "https://index.docker.io/v1/": {"auth":"aHViOnA="}}}"#;
        assert_eq!(logins(config, "a.example/x"), [Login::user("u", "p")]);
        assert_eq!(logins(config, "b.example/x"), [Login::RefreshToken("t".into())]);
        assert_eq!(logins(config, "busybox"), [Login::user("hub", "p")]);
        assert_eq!(logins(config, "c.example/x"), []);
        assert_eq!(logins("{}", "a.example/x"), []);
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_an_error_that_shows_nothing_of_it() {
        for text in ["", "[]", r#"{"auths":{"a":{"auth":"secret"}}}"#, r#"{"auths":"secret"}"#] {
            let why = DockerConfig::parse(text.as_bytes()).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_helpers_answer_is_a_password_a_token_or_nothing() {
        let answer = |text: &str| understood(true, text.as_bytes());
        assert_eq!(
            answer(r#"{"ServerURL":"a","Username":"u","Secret":"p"}"#),
            Ok(Some(Login::user("u", "p")))
        );
        let token = answer(r#"{"ServerURL":"a","Username":"<token>","Secret":"t"}"#);
        assert_eq!(token, Ok(Some(Login::RefreshToken("t".into()))));
        assert!(answer("secret").is_err());
        assert_eq!(understood(false, b"credentials not found in native keychain\n"), Ok(None));
        assert!(understood(false, b"").is_err());
    }

    #[test]
    fn a_helper_that_does_not_exist_or_has_an_odd_name_is_named() {
        let config = r#"{"credHelpers":{"a.example":"does-not-exist","b.example":"../x"}}"#;
        let config = DockerConfig::parse(config.as_bytes()).unwrap();
        for image in ["a.example/x", "b.example/x", "a.example/y"] {
            assert_eq!(config.for_repository(Reference::parse(image).unwrap().repository()), []);
        }
        let remarks = config.remarks();
        assert_eq!(remarks.len(), 2);
        assert!(
            remarks[0].starts_with("docker-credential-does-not-exist gives no login for a.example: "),
            "{remarks:?}"
        );
    }

    #[test]
    fn an_error_names_the_helpers_that_gave_no_login_and_is_the_same_without_them() {
        let config = DockerConfig::parse(br#"{"credHelpers":{"a.example":"does-not-exist"}}"#).unwrap();
        let failed = || ImageError::OneProfile("a.json".into());
        assert_eq!(config.explained(failed()).to_string(), failed().to_string());
        config.for_repository(Reference::parse("a.example/x").unwrap().repository());
        let explained = config.explained(failed());
        let text = explained.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], failed().to_string());
        assert!(
            lines[1].starts_with("note: docker-credential-does-not-exist gives no login for a.example: "),
            "{text}"
        );
        assert_eq!(explained.reason(), failed().reason());
    }
}
