//! What the chart's accounts may ask of the API server and what they are refused, as data.
//!
//! [`kinds`] lists every kind, [`request`] every request for a kind, [`rules`] what the roles grant, and
//! [`attempts`] the requests that a role lets through and admission must stop. The tests on the cluster send all of
//! it with the tokens of running pods; [`table`] makes the tables of `docs/security.md`. No request is made here.

pub mod admission;
pub mod attempts;
pub mod events;
pub mod gate;
pub mod gate_nodes;
pub mod kinds;
pub mod observer;
pub mod removal;
pub mod request;
pub mod rules;
pub mod table;
