//! A real API server with its etcd on loopback and nothing around it: no nodes, no pods, no root.
//!
//! What the whole cluster is too slow or too small for runs here: hundreds of nodes, hundreds of elections, an API
//! server that answers badly. [`ApiServer`] starts it and puts the chart's definitions, rights and policies on it;
//! [`OperatorProcess`] is our operator as it is released, [`AdmissionProcess`] the admission webhook; [`Agents`] are our agents, each with a node, an identity
//! and a directory of its own; [`Proxy`] stands between them and the API server and lets through what a test wants;
//! [`audit`] reads what was asked. [`Limits`] is what many agents in one process need of the system, [`Traffic`] counts
//! what they receive. `program` starts and ends processes, `account` is who asks.

mod account;
mod agents;
pub mod audit;
mod error;
mod limits;
mod operator;
mod program;
mod proxy;
mod server;
mod traffic;

pub use account::{Account, agent_of};
pub use agents::{Agents, node};
pub use error::ApiServerError;
pub use limits::Limits;
pub use operator::{AdmissionProcess, OperatorOptions, OperatorProcess, build_admission, build_operator};
pub use program::Program;
pub use proxy::{Behaviour, Proxy};
pub(crate) use server::free_port;
pub use server::{ApiServer, Options};
pub use traffic::Traffic;
