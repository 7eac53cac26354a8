//! The certificates by which the API server knows this program, without cert-manager.
//!
//! [`plan`] decides what to do next, as pure code over plain data; [`clock`] is its time. [`authority`] makes keys and
//! certificates, [`secret`] and [`bundle`] are their forms in the API, [`fingerprint`] identifies them. [`keeper`] carries the
//! decisions out, and [`served`] is the certificate that new connections get.

pub mod authority;
pub mod bundle;
pub mod clock;
pub mod configuration;
pub mod fingerprint;
pub mod keeper;
pub mod plan;
pub mod secret;
pub mod served;
#[cfg(test)]
mod tests;
