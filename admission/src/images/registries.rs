//! The client of registries: whom it trusts, and which hosts it may ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::{Client, ClientError, Limits};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::settings::ImageOptions;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// The file with certificates cannot be read.
    #[error("cannot read certificates from {}: {cause}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The client: it trusts the authorities of the system, and those of the options.
///
/// # Errors
/// A certificate of the options cannot be read or used.
pub fn client(options: &ImageOptions) -> Result<Client, RegistriesError> {
    // What the system has and this library does not understand is no reason to fail.
    let of_system = rustls_native_certs::load_native_certs().certs;
    let mut authorities: Vec<_> =
        of_system.into_iter().filter(|it| RootCertStore::empty().add(it.clone()).is_ok()).collect();
    if let Some(path) = &options.authorities {
        authorities.extend(read(path)?);
    }
    let time = options.images_time;
    let limits = Limits { time, connect: time.min(Duration::from_secs(5)) };
    Ok(Client::new(options.reach(), limits, authorities)?)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistriesError> {
    let failed = |cause: String| RegistriesError::Authorities { path: path.to_owned(), cause };
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("there are none".to_owned())) } else { Ok(found) }
}
