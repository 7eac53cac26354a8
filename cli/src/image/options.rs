//! The options of every command that asks a registry.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use registry::{Client, Limits, Reach, Reference};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::image_error::ImageError;

/// How registries are asked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryOptions {
    /// A registry or another host that is asked without TLS, as HOST or HOST:PORT; may be repeated
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,
    /// A host besides the image's own that may have a loopback, link-local or private address, such as a token service;
    /// may be repeated
    #[arg(long, value_name = "HOST")]
    pub inside: Vec<String>,
    /// A file with certificates of authorities that are trusted besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
}

impl RegistryOptions {
    /// The client for images. Their registries were named by the user, so that they may have any address.
    ///
    /// # Errors
    /// A certificate cannot be read or used.
    pub fn client(&self, images: &[&Reference]) -> Result<Client, ImageError> {
        let names =
            |hosts: &[String]| hosts.iter().map(|host| host.to_ascii_lowercase()).collect::<BTreeSet<_>>();
        let mut inside = names(&self.inside);
        inside.extend(images.iter().map(|image| image.repository().host().to_ascii_lowercase()));
        let reach = Reach { plain: names(&self.plain_http), inside, networks: Vec::new() };
        let mut authorities: Vec<CertificateDer<'static>> = Vec::new();
        // What the system has and this library does not understand is no reason to fail.
        let of_system = rustls_native_certs::load_native_certs().certs;
        authorities.extend(
            of_system.into_iter().filter(|it| rustls::RootCertStore::empty().add(it.clone()).is_ok()),
        );
        if let Some(path) = &self.ca_file {
            let of_file = |why: &dyn std::fmt::Display| {
                ImageError::Certificates(format!("cannot read certificates from {}: {why}", path.display()))
            };
            let text = fs::read(path).map_err(|error| of_file(&error))?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            let found = found.map_err(|error| of_file(&error))?;
            if found.is_empty() {
                return Err(of_file(&"there are none"));
            }
            authorities.extend(found);
        }
        Client::new(reach, Limits::default(), authorities)
            .map_err(|error| ImageError::Certificates(error.to_string()))
    }
}
