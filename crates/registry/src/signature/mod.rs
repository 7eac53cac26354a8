//! Signatures by keys, as cosign makes them of manifests, verified without asking anybody.
//!
//! cosign 3 pushes a *bundle* (`application/vnd.dev.sigstore.bundle.v0.3+json`): an artifact that refers to the signed
//! manifest, with one layer. In it is a DSSE envelope around an in-toto statement, whose subject is the digest of the
//! manifest. A key is trusted as it is, so that no entry of a transparency log is needed, and none is looked at. A bundle
//! with a certificate is refused.
//!
//! On `ring`, which TLS needs anyway. The crate `sigstore-verify` 0.15 would bring two dozen others, among them parsers of
//! X.509 and CMS and another cryptography, for the certificates, logs and time stamps that do not matter here.
//!
//! Pure: `find/signed` gets the bundles.

mod bundle;
mod key;
mod keys;

pub use bundle::Fault;
pub use key::OtherKey;
pub use keys::{KeyError, Keys};

pub(crate) use bundle::{LARGEST_BUNDLE, PREDICATE};
#[cfg(any(test, feature = "testing"))]
pub(crate) use bundle::{PAYLOAD_TYPE, STATEMENT, encoded};
