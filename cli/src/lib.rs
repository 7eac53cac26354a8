//! `kubectl seccomp`: shows which nodes have which seccomp profiles, which do not, and why, and checks profiles in files.
//! Only [`restart`] and [`learn::workload`] change anything in the cluster.
//!
//! - [`options`]: the command line; [`manual`] makes completion scripts from it, [`complete`] serves kubectl's
//!   completion.
//! - [`connect`], [`read`], [`live`]: the requests to the API server, once or continuously.
//! - [`facts`]: the facts from the objects, as plain data; [`node_profile_state`]: the state of one node for one
//!   profile.
//! - [`status`], [`nodes`], [`wait`], [`users`], [`diff`], [`verify`]: one command each, which turns facts into a view;
//!   a view is printed as text, JSON or YAML.
//! - [`call`]: a system call as it is written on the command line.
//! - [`simulate`]: what a profile does with calls, without a cluster.
//! - [`findings`]: `lint` and `rule`; [`excerpt`] shows a line of a file, [`edit`] changes one, [`replace`] writes a file.
//! - [`merge`]: the union or the intersection of profiles.
//! - [`convert`]: profiles of other tools, as `SeccompProfile`s or in the runtimes' format.
//! - [`derive`]: a profile from the files of a program.
//! - [`learn`]: a profile from what programs were seen to do, in files or in the cluster.
//! - [`profile_text`]: a profile as YAML or JSON, for `convert`, `derive`, `learn`, `merge` and profiles in the cluster.
//! - [`explain`]: what a profile does, in words.
//! - [`inspect`]: what an image in a registry carries; [`attach`] gives it a profile, [`copy`] copies
//!   both.
//! - [`denials`]: the calls that filters refused, by workload, and what would allow them.
//! - [`outdated`]: workloads with containers under an earlier filter; [`restart`] restarts them.
//! - [`unenforced`]: why a pod that names a profile may run without its filter.
//! - [`sources`]: what the FILE arguments of a command name.
//! - [`manifest`]: a file as kubectl reads it and the API server stores it.
//! - [`setting`]: the options that say where a profile is loaded; [`node_settings`]: those for several kinds of node.
//! - [`show`]: tables, colours, ages.
//! - [`run`]: from the options to an answer.

pub mod attach;
pub mod build;
pub mod call;
pub mod complete;
pub mod connect;
pub mod convert;
pub mod copy;
pub mod denials;
pub mod derive;
pub mod derive_error;
pub mod diff;
mod duration;
mod edit;
pub mod error;
mod excerpt;
pub mod explain;
pub mod facts;
pub mod findings;
pub mod image;
pub mod image_error;
pub mod inspect;
pub mod learn;
pub mod live;
mod log_lines;
pub mod manifest;
pub mod manual;
pub mod merge;
pub mod merge_error;
pub mod node_profile_state;
pub mod node_settings;
pub mod nodes;
pub mod options;
pub mod outdated;
pub mod output;
pub mod owner;
mod profile_text;
pub mod proxy;
pub mod read;
mod replace;
pub mod restart;
pub mod run;
pub mod setting;
pub mod show;
pub mod simulate;
pub mod sources;
pub mod started_by;
pub mod status;
#[cfg(test)]
mod testing;
mod tunnel;
pub mod unenforced;
pub mod users;
pub mod verify;
pub mod wait;
