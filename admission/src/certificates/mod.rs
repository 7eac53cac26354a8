//! The certificates by which the API server knows this program: its own, or those that cert-manager makes.
//!
//! [`plan`] decides what to do next, as pure code over plain data; [`clock`] is its time. [`authority`] makes keys and
//! certificates, [`secret`] and [`bundle`] are their forms in the API, [`fingerprint`] identifies them. [`keeper`] carries the
//! decisions out, and [`served`] is the certificate that new connections get.
//!
//! Where another program makes the certificate, [`given`] reads it and decides whether the API server trusts it, [`choice`]
//! when it is used, and [`follower`] follows its Secret; nothing is written then.

pub mod authority;
pub mod bundle;
pub mod choice;
pub mod clock;
pub mod configuration;
pub mod fingerprint;
pub mod follower;
pub mod given;
pub mod keeper;
pub mod plan;
pub mod secret;
pub mod served;
#[cfg(test)]
mod tests;
