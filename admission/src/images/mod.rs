//! Pods whose images bring a profile: each container gets the digest of its image, and the profile that the image carries,
//! as far as the default of the runtime permits it.
//!
//! Pure: [`pod`] reads which containers are looked at, [`choice`] decides what an image brings, and [`plan`] makes the
//! patch, the warnings and the refusal of what was found. Around them: [`logins`] reads pull secrets, [`lookup`] asks
//! registries by the client of [`registries`], [`narrowing`] has the threads that compute profiles,
//! [`profiles`] keeps equal ones once, [`objects`] creates profiles, and [`admit`] answers for one pod, in a bounded time. [`settings`] are the operator's choices, [`signatures`] says which
//! profiles must be signed, and [`shares`] who may ask for how much at once.
//!
//! By [`oci`], runtimes get some of the profiles themselves.
//!
//! Templates of pods get digests alone, by [`templates`].
//!
//! What a pod or a container sets itself is never touched, and an image can only take calls away.

pub mod admit;
mod affinity;
pub mod choice;
pub mod logins;
pub mod lookup;
pub mod narrowing;
pub mod objects;
pub mod oci;
pub mod plan;
pub mod pod;
pub mod profiles;
pub mod registries;
pub mod settings;
pub mod shares;
pub mod signatures;
pub mod templates;
